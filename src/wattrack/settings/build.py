"""The composed configuration made into objects: built, not loaded."""

import os
from importlib import resources
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from wattrack import places
from wattrack.errors import ConfigError
from wattrack.monitors import running
from wattrack.monitors.carbon import CarbonMeter
from wattrack.monitors.host import HostMonitor
from wattrack.monitors.meter import Meter
from wattrack.monitors.nvml import NvmlMonitor, gpu_indices
from wattrack.monitors.rapl import RaplMonitor
from wattrack.protocols import Engine, Monitor
from wattrack.sandbox.check import Sandbox
from wattrack.settings.config import DatasetConfig
from wattrack.settings.construct import constructed
from wattrack.settings.prompting import build_prompt, protocol
from wattrack.tasks.task import Source, Task

_EMBEDDED = "embedded:"


def task(cfg: DictConfig) -> Task:
    """The dataset under the chosen protocol; rows are not read yet."""
    data, settings = cfg.dataset, protocol(cfg)
    source = Source(
        name=data.name,
        split=data.split,
        embedded=data.embedded,
        data_dir=Path(data.data_dir) if data.data_dir is not None else None,
        prompts_dir=_prompts_dir(data),
        hub_id=data.hub_id,
        hub_config=data.hub_config,
        parts=tuple(data.parts),
        revision=data.revision,
        files=dict(data.files),
        rows=data.rows,
        obtain=data.obtain,
        generator=None if data.generator is None else constructed(data.generator, "dataset.generator"),
        reader=None if data.reader is None else constructed(data.reader, "dataset.reader"),
    )
    sandbox = Sandbox(allow=cfg.sandbox.allow) if data.runs_code else None
    extra = {} if sandbox is None else {"sandbox": sandbox}
    return Task(
        source=source,
        to_sample=constructed(data.to_sample, "dataset.to_sample"),
        prompt=build_prompt(cfg),
        scorer=constructed(settings.scorer, f"dataset.protocols.{data.protocol}.scorer", **extra),
        headline=settings.headline,
        aggregate=None if settings.aggregate is None else constructed(settings.aggregate, "aggregate"),
        protocol=f"{data.name}/{data.protocol}@{settings.version}",
        order=str(data.order),
        sandbox=sandbox,
        live_score=settings.live_score and sandbox is None,
        text_reference=data.text_reference,
        judging=None if settings.judging is None else constructed(settings.judging, "judging"),
    )


def _prompts_dir(data: DatasetConfig) -> Path | None:
    if data.prompts_dir is not None:
        return Path(data.prompts_dir)
    return None if data.data_dir is None else Path(data.data_dir) / "cot_prompts"


def engine(cfg: DictConfig) -> Engine:
    """The engine named by `engine._target_`; its constructor only stores and checks."""
    engine: Engine = constructed(cfg.engine, "engine", **_model(cfg.engine, cfg.model.id))
    asked = build_prompt(cfg)
    if asked.asks_logprobs and engine.capabilities.loglikelihood is None:
        raise ConfigError(
            f"dataset.protocol={cfg.dataset.protocol}: {cfg.dataset.name} asks for log-probabilities, which "
            f"{type(engine).__name__} does not give: choose engine=hf or a protocol that generates"
        )
    if asked.constrained:
        if (check_constraints := engine.capabilities.check_constraints) is None:
            raise ConfigError(
                f"dataset.protocol={cfg.dataset.protocol}: {type(engine).__name__} cannot constrain its answers: "
                "choose engine=hf or a protocol with free decoding"
            )
        check_constraints()
    return engine


def judge(cfg: DictConfig) -> Engine:
    """The job's engine with the judge's checkpoint; ConfigError when the protocol's answers need no judge."""
    settings = protocol(cfg)
    if settings.judging is None:
        raise ConfigError(f"judge.model_id: {cfg.dataset.name}/{cfg.dataset.protocol} is scored by a program")
    own = {"revision": cfg.judge.revision, "context_length": None, "weights": "pretrained"}
    taken = {key: value for key, value in own.items() if key in cfg.engine}
    taken |= _model(cfg.engine, cfg.judge.model_id)
    engine: Engine = constructed(cfg.engine, "engine", **taken)
    return engine


def _model(engine: DictConfig, model_id: str) -> dict[str, Any]:
    """The model as an argument of engines that take one: their YAML has the key."""
    return {"model_id": model_location(model_id)} if "model_id" in engine else {}


def model_location(model_id: str) -> str:
    """A hub id or folder as it is; `embedded:NAME` as the folder inside the package. ConfigError names the choices."""
    if not model_id.startswith(_EMBEDDED):
        return model_id
    folder = Path(str(resources.files("wattrack.demo"))) / "models"
    name = model_id.removeprefix(_EMBEDDED)
    if not (folder / name / "config.json").is_file():
        known = sorted(f"{_EMBEDDED}{p.parent.name}" for p in folder.glob("*/config.json"))
        raise ConfigError(f"model.id={model_id}: the package ships {', '.join(known)}")
    return str(folder / name)


def meter(cfg: DictConfig) -> Meter:
    """A meter over every sensor that this machine may have."""
    return Meter(monitors(cfg), sample_hz=cfg.hardware.sample_hz, neighbours=_neighbours)


def _neighbours(start_unix_s: float, end_unix_s: float) -> int:
    return running.others(running.folder(places.root()), start_unix_s, end_unix_s)


def monitors(cfg: DictConfig) -> list[Monitor]:
    """Every sensor that this machine may have; which of them answer is found when they open."""
    monitors: list[Monitor] = [HostMonitor(), RaplMonitor()]
    if cfg.hardware.device != "cpu":
        monitors.append(NvmlMonitor(gpu_in_scope()))
    return monitors


def gpu_in_scope() -> str:
    """The visible GPU that the engine uses, which is the first: idle neighbours are not billed to the job."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def carbon(cfg: DictConfig) -> CarbonMeter:
    """codecarbon over the whole job, from what the owner of the machine configured."""
    hardware = cfg.hardware
    return CarbonMeter(
        country_iso_code=hardware.country_iso_code,
        cpu_tdp_w=hardware.cpu_tdp_w,
        ram_w=hardware.ram_w,
        gpu_ids=[] if hardware.device == "cpu" else gpu_indices(gpu_in_scope()),
        neighbours=_neighbours,
    )
