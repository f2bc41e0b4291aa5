"""The configuration schema: every key a user may set, with its type; Hydra checks values against it while composing.

Plug-ins (`engine`, and the `to_sample`, `prompt` and `scorer` nodes of a dataset) are open: the signature of their
`_target_` is the schema, so that an engine costs one Python file and one YAML. Nothing here imports torch or mlflow.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig

Dtype = StrEnum("Dtype", ["auto", "fp32", "bf16", "fp16"])
KvCache = StrEnum("KvCache", ["dynamic", "static", "quantized"])
Attention = StrEnum("Attention", ["auto", "eager", "sdpa", "flash_attention_2"])
Quantization = StrEnum("Quantization", {"none": "none", "8bit": "8bit", "4bit": "4bit"})
Weights = StrEnum("Weights", ["pretrained", "random"])
Device = StrEnum("Device", ["auto", "cpu", "cuda"])
Order = StrEnum("Order", ["shuffled", "file"])
Resume = StrEnum("Resume", ["auto", "never"])


@dataclass
class ModelConfig:
    """One checkpoint. Adding a model = one YAML with these keys."""

    name: str = MISSING
    id: str = MISSING
    """Hub id, a local folder, or `embedded:NAME` for a model shipped with the package."""
    revision: str = "main"
    """Branch, tag or commit on the hub; the resolved commit is logged."""
    params_b: float = MISSING
    """Total parameters in billions: the size axis of plots."""
    active_params_b: float | None = None
    """Parameters used per token, in billions, for mixtures of experts."""
    context_length: int | None = None
    """Tokens; null = what the checkpoint says."""
    licence: str | None = None
    gated: bool = False
    weights: Weights = Weights.pretrained
    """`random`: the architecture without its checkpoint, for speed, memory and energy; such runs have no score."""


def _open_node() -> Any:
    """A node whose keys Hydra does not check: the signature of its `_target_` is asked once everything is composed."""
    return DictConfig({}, flags={"struct": False})


@dataclass
class ProtocolConfig:
    """How a question is put and its answer read. Any change that can move a score needs a new `version`."""

    version: int = MISSING
    prompt: dict[str, Any] = field(default_factory=_open_node)
    """How questions are put: a `_target_` out of `wattrack.prompts`, whose signature says what else there is."""
    headline: str = MISSING
    """Metric of the scorer that becomes `quality/score`."""
    scorer: dict[str, Any] = MISSING
    aggregate: dict[str, Any] | None = None
    """What the records give beyond means over questions: records -> {metric of `quality/`: value or None}."""
    judging: dict[str, Any] | None = None
    """How a judge model is asked about the answers, where no program can rate them: the run itself stays unscored."""
    live_score: bool = True
    """Judge answers for the live line while they are measured; false where judging costs more than microseconds."""


@dataclass
class DatasetConfig:
    """Where rows come from and the protocols they can be asked by. Adding a dataset = one YAML with these keys."""

    name: str = MISSING
    hub_id: str | None = None
    hub_config: str | None = None
    parts: list[str] = field(default_factory=list)
    """Where the rows come in several pieces: hub configs, or files in `data_dir`; asked together, in this order."""
    split: str = "test"
    revision: str = "main"
    data_dir: str | None = None
    """Folder with `<split>.jsonl` (or .jsonl.gz, .parquet, .csv) in the hub's schema; used instead of the hub."""
    prompts_dir: str | None = None
    """Folder with the authors' prompts, where these are not shipped; null = `cot_prompts/` in `data_dir`."""
    files: dict[str, str] = field(default_factory=dict)
    """Split -> name of its file in `data_dir` without ending, tried after the split's own name and usual ones
    (`validation` may be `dev` or `val`)."""
    reader: dict[str, Any] | None = None
    """Where a split in `data_dir` is no single file: (data_dir, split) -> located rows."""
    obtain: str | None = None
    """How to come by the files of `data_dir`, where the hub has none that fit."""
    generator: dict[str, Any] | None = None
    """Rows made by a function, () -> located rows; `data_dir` goes before it."""
    embedded: str | None = None
    """Rows shipped with the package: path of their JSONL file below it."""
    order: Order = Order.shuffled
    rows: int | None = None
    """Rows the publisher states for the split; a different count is reported."""
    licence: str | None = None
    gated: bool = False
    """The hub gives the rows only to accounts that accepted the authors' terms."""
    runs_code: bool = False
    """Answers are programs, and scoring runs them: in a sandbox, after everything that is measured."""
    text_reference: bool = False
    """What a good answer says is there as a text, which an embedding model may compare answers with."""
    to_sample: dict[str, Any] = MISSING
    protocol: str = MISSING
    protocols: dict[str, ProtocolConfig] = MISSING


@dataclass
class PresetConfig:
    """A named trade between memory and speed. What is effective on the machine is logged beside it."""

    name: str = MISSING
    dtype: Dtype = MISSING
    kv_cache: KvCache = MISSING
    attention: Attention = MISSING
    quantization: Quantization = Quantization["none"]
    """Of the weights, while loading: bitsandbytes on CUDA."""
    batch_size: int | None = MISSING
    """Rows at a time; null = as many as the free memory holds."""


@dataclass
class HardwareConfig:
    """The machine: device, and what only its owner knows (prices, carbon, rated power); null = unknown."""

    name: str = MISSING
    device: Device = MISSING
    threads: int | None = None
    """torch CPU threads; null = torch's own choice."""
    sample_hz: float = 5.0
    """Readings of the sensors per second, 1 to 10."""
    cpu_tdp_w: float | None = None
    ram_w: float | None = None
    country_iso_code: str | None = None
    carbon_intensity_g_per_kwh: float | None = None
    pue: float = 1.0
    """Power usage effectiveness: facility power / machine power; only enters carbon and cost."""
    hourly_usd: float | None = None
    """What an hour of this machine costs."""
    usd_per_kwh: float | None = None
    """Tariff of electricity; with `hourly_usd` set as well, the two are added."""
    idle_s: float = 0.0
    """Seconds to measure the idle machine before the model loads, at least 5 to say something; 0 = not at all. They are
    part of the job: its total time, its cost and codecarbon's figure hold them."""
    memory_bandwidth_gb_s: float | None = None
    """Rated memory bandwidth of the device, 1e9 bytes/s, for the plausibility check; null = what NVML says of a GPU."""
    peak_tflops: float | None = None
    """Rated speed of the device at the dtype used, 1e12 operations/s, for the plausibility check."""


@dataclass
class TrackingConfig:
    """Where runs are logged."""

    name: str = MISSING
    uri: str | None = None
    """MLflow tracking URI; null = $MLFLOW_TRACKING_URI, else the SQLite store under mlruns/."""
    experiment: str = MISSING
    traces: str = "50"
    """Questions logged as traces: `all`, `none` or a number (plus as many wrong answers)."""
    ui_port: int = 5000
    """Port that the printed links assume."""


@dataclass
class SandboxConfig:
    """What may happen to programs that a model wrote."""

    allow: bool = False
    """Run them even where this machine cannot isolate them well."""


@dataclass
class JudgeConfig:
    """The model that rates answers in `wattrack score`, by the job's engine and preset."""

    model_id: str | None = None
    """Hub id, a local folder or `embedded:NAME`; null = no judge."""
    revision: str = "main"


@dataclass
class SimilarityConfig:
    """The embedding model that compares answers with reference texts in `wattrack score`."""

    model_id: str | None = None
    """Hub id or a local folder of a sentence-transformers checkpoint; null = nothing is compared."""
    revision: str = "main"


@dataclass
class Config:
    """The whole configuration of a job."""

    model: ModelConfig = MISSING
    dataset: DatasetConfig = MISSING
    engine: dict[str, Any] = MISSING
    preset: PresetConfig = MISSING
    hardware: HardwareConfig = MISSING
    tracking: TrackingConfig = MISSING
    sandbox: SandboxConfig = field(default_factory=SandboxConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    similarity: SimilarityConfig = field(default_factory=SimilarityConfig)
    experiment: str | None = None
    limit: int | None = None
    """Questions; null = all. The first n of a seeded permutation, so that smaller limits nest in larger ones."""
    seed: int = 0
    repeats: int = 1
    probe_questions: int = 20
    """Questions of the latency probe, one at a time; 0 = no probe."""
    resume: Resume = Resume.auto
    """`auto`: continue the latest run of these very settings on this machine, if it was interrupted; `never`: start
    afresh. A run that finished is never reused."""
    dry_run: bool = False
    """Print what would run and the exact first prompt; write and load nothing."""
    name: str | None = None
    """Run name in MLflow; null = model · dataset."""


def register() -> None:
    """Make the schema known to Hydra under the name that conf/config.yaml begins with."""
    ConfigStore.instance().store(name="base_config", node=Config)
