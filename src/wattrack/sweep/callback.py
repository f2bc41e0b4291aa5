"""The edge to Hydra's sweeper: what it is going to launch becomes the sweep's plan."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from wattrack.redaction import redacted, redacted_overrides
from wattrack.settings.complaints import explain
from wattrack.sweep import plan
from wattrack.sweep.plan import PlannedJob, Sweep
from wattrack.terminal import console

log = logging.getLogger(__name__)

_IN_PROCESS = "BasicLauncher"
_ALL_AT_ONCE = "BasicSweeper"
"""The sweeper that knows every job before the first one starts."""


@dataclass
class Begun:
    """The sweep that this process has begun, and the configuration it started from, with its secrets."""

    sweep: Sweep
    cfg: DictConfig


_begun: Begun | None = None


def take() -> Begun | None:
    """The sweep that has begun since the last call; None without one."""
    global _begun
    begun, _begun = _begun, None
    return begun


class SweepCallback(Callback):
    """Notes what a sweep will do. The entry point finalizes it: Hydra skips `on_multirun_end` when a job failed."""

    def on_run_start(self, config: DictConfig, **kwargs: object) -> None:
        """Write the plan of a command that runs one job: it is a sweep of its own, found by its id like any other."""
        try:
            if not config.dry_run:
                plan.write(alone(config))
        except (HydraException, OmegaConfBaseException) as e:
            log.info("no sweep.json: %s", e)  # a job of which not even the name is known is refused in a moment

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Write the sweep's plan into its folder and say how many jobs there are."""
        global _begun
        plain = _without_hydra(config)
        sweep = planned(config, plain)
        plan.write(sweep)
        _begun = Begun(sweep, plain)
        _say(sweep, bool(config.dry_run))


def _say(sweep: Sweep, dry_run: bool) -> None:
    out, count = console(), len(sweep.jobs)
    jobs = f"{count} job{'' if count == 1 else 's'}" if count else "jobs one after another, as the sweeper decides"
    out.print(jobs if dry_run else f"{jobs}, sweep {sweep.id}", highlight=False)
    if sweep.launcher != _IN_PROCESS and not dry_run:
        text = f"{sweep.launcher}: the jobs run in other processes and write to {sweep.folder}"
        out.print(f"{text}; errors and the comparison come here when they have ended", style="dim", soft_wrap=True)


def _without_hydra(config: DictConfig) -> DictConfig:
    plain = config.copy()
    OmegaConf.set_readonly(plain, False)
    OmegaConf.set_struct(plain, False)
    plain.pop("hydra")
    return plain


def alone(config: DictConfig) -> Sweep:
    """The plan of a command that runs one job, in the job's own folder."""
    from wattrack.job.identity import job_name

    folder = Path(str(OmegaConf.select(config, "hydra.run.dir"))).absolute()
    overrides = redacted_overrides(OmegaConf.select(config, "hydra.overrides.task"))
    content: Any = redacted(OmegaConf.to_container(_without_hydra(config), enum_to_str=True))
    return Sweep(
        id=plan.new_id(),
        folder=str(folder),
        started_unix_s=_now(folder),
        swept=(),
        overrides=overrides,
        launcher=plan.ALONE,
        config=content,
        jobs=(PlannedJob(number=0, name=job_name(config), overrides=overrides, folder=str(folder)),),
    )


def planned(config: DictConfig, plain: DictConfig) -> Sweep:
    """The plan of the sweep that Hydra is about to launch."""
    folder = Path(str(OmegaConf.select(config, "hydra.sweep.dir"))).absolute()
    swept = tuple(override.key_or_group for override in swept_overrides(config))
    content: Any = redacted(OmegaConf.to_container(plain, enum_to_str=True))
    return Sweep(
        id=plan.new_id(),
        folder=str(folder),
        started_unix_s=_now(folder),
        swept=swept,
        overrides=redacted_overrides(OmegaConf.select(config, "hydra.overrides.task")),
        launcher=_class(config, "hydra.launcher"),
        config=content,
        jobs=tuple(_job(config, folder, number, some, swept) for number, some in enumerate(_every_job(config))),
    )


def _now(folder: Path) -> float:
    """The time as the file system of the sweep tells it: files of its jobs are compared with it."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f"{plan.FILE}.part"
    mark.touch()
    stamp = mark.stat().st_mtime
    mark.unlink()
    return stamp


def _class(config: DictConfig, key: str) -> str:
    return str(OmegaConf.select(config, f"{key}._target_")).rpartition(".")[2]


def swept_overrides(config: DictConfig) -> list[Override]:
    """Those with more than one value, as Hydra's own sweeper expands them."""
    return [override for override in _overrides(config) if override.is_sweep_override()]


def _overrides(config: DictConfig) -> list[Override]:
    """The sweeper's own parameters and then the command line, which wins."""
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    chosen = list(OmegaConf.select(config, "hydra.overrides.task"))
    names = {text.split("=", 1)[0] for text in chosen}
    texts = [f"{k}={v}" for k, v in params.items() if k not in names] + chosen
    return OverridesParser.create().parse_overrides(texts)


def _every_job(config: DictConfig) -> list[list[str]]:
    if _class(config, "hydra.sweeper") != _ALL_AT_ONCE:
        return []
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    try:
        (every,) = BasicSweeper.split_arguments(_overrides(config), None)
    except HydraException:
        return []  # the sweeper says so itself, and nothing runs
    return every


def _job(config: DictConfig, folder: Path, number: int, overrides: list[str], swept: tuple[str, ...]) -> PlannedJob:
    """A job with the folder that its launcher will give it."""
    from wattrack.job.identity import job_name

    said = redacted_overrides(overrides)
    try:
        cfg = GlobalHydra.instance().config_loader().load_sweep_config(config, overrides)
        with open_dict(cfg):
            cfg.hydra.job.num = number
        subdir = str(OmegaConf.select(cfg, "hydra.sweep.subdir"))
        name = job_name(cfg, swept)
    except (HydraException, OmegaConfBaseException) as e:
        name = " ".join(text for text in redacted_overrides(overrides) if text.split("=", 1)[0] in swept)
        return PlannedJob(number=number, name=name, overrides=said, folder=None, refused=str(redacted(explain(e))))
    return PlannedJob(number=number, name=name, overrides=said, folder=str(folder / subdir))
