"""The identity of a run: one hash of everything that can change its answers."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from omegaconf import DictConfig, OmegaConf

from wattrack.prompts.asking import Prompt
from wattrack.schema import DatasetFacts

_NEVER_MATTERS = (
    "experiment",
    "tracking",
    "dry_run",
    "name",
    "probe_questions",
    "resume",
    "sandbox",
    "judge",
    "similarity",
)
"""Root keys that do not touch the answers."""
_IN_NAMES = ("model", "dataset", "dataset.protocol", "preset", "engine.mode", "model.weights", "name")
_USUAL_PRESET, _USUAL_MODE = "balanced", "shared"
"""What a run's name does not mention."""


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no blanks: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def run_key(cfg: DictConfig, dataset: DatasetFacts, prompt: Prompt, revision: str | None) -> str:
    """SHA-256 (hex) over model and resolved revision, engine and preset, rows, protocol, prompt, seed, repeats, limit.

    Where rows came from (hub or local copy) does not matter, their digest does; of the hardware only the device and the
    thread count do.
    """
    settings = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    assert isinstance(settings, dict)
    kept: dict[str, object] = {str(k): v for k, v in settings.items() if k not in _NEVER_MATTERS}
    hardware = settings["hardware"]
    kept["hardware"] = {k: hardware[k] for k in ("device", "threads")}
    kept["model"] = {"id": settings["model"]["id"], "revision": revision or settings["model"]["revision"]}
    kept["dataset"] = {
        "protocol": dataset.protocol,
        "settings": settings["dataset"]["protocols"][settings["dataset"]["protocol"]],
        "split": dataset.split,
        "digest": dataset.digest,
        "prompt": prompt.sha256(),
    }
    kept["engine"] = {k: v for k, v in settings["engine"].items() if k not in ("model_id", "revision")}
    return hashlib.sha256(canonical_json(kept).encode()).hexdigest()


def rescored_key(original: str, protocol: str, scoring: Mapping[str, object]) -> str:
    """SHA-256 (hex) over the run key of the answers and what scored them: never equal to that of a measured run."""
    return hashlib.sha256(canonical_json([original, protocol, scoring]).encode()).hexdigest()


def job_name(cfg: DictConfig, swept: Sequence[str] = ()) -> str:
    """`name=`, or model and dataset with what is not the usual choice: no two jobs of a sweep look like one another.

    `swept` are the keys of settings that the sweep varies.
    """
    if cfg.name:
        return str(cfg.name)
    asked, mode = str(cfg.dataset.protocol), cfg.engine.get("mode", _USUAL_MODE)
    settings = cfg.dataset.protocols.get(asked)
    unusual = {
        asked: asked != next(iter(cfg.dataset.protocols)),  # a dataset's YAML lists its default first
        "constrained": _is_constrained(settings),
        str(cfg.preset.name): cfg.preset.name != _USUAL_PRESET,
        str(mode): mode != _USUAL_MODE,
        "random weights": str(cfg.model.weights) == "random",
    }
    said = [what for what, is_so in unusual.items() if is_so]
    varied = [_setting(cfg, key) for key in swept if key not in _IN_NAMES]
    return " · ".join([cfg.model.name, cfg.dataset.name, *said, *varied])


def _is_constrained(protocol: DictConfig | None) -> bool:
    """Whether answers are held to a schema; a prompt that is no node is refused elsewhere."""
    prompt = None if protocol is None else protocol.prompt
    return isinstance(prompt, DictConfig) and prompt.get("constrained") is True


def _setting(cfg: DictConfig, key: str) -> str:
    """A setting's last name and value, or what was chosen of a group."""
    value = OmegaConf.select(cfg, key)
    chosen = value.get("name") if isinstance(value, DictConfig) else None
    return str(chosen) if chosen is not None else f"{key.rpartition('.')[2]} {'null' if value is None else value}"
