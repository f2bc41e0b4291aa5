"""The settings that score: today's in place of the stored ones, and how the two differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from wattrack import places
from wattrack.errors import ConfigError
from wattrack.settings import config
from wattrack.settings.flat import flatten
from wattrack.settings.prompting import completed
from wattrack.settings.refusal import choices

_SCORING = ("version", "headline", "scorer", "aggregate", "judging")
"""Keys of a protocol that judge answers; all others put the question, and those stay what they were."""
_TAKEN = (
    "name",
    "sandbox.allow",
    "dataset.data_dir",
    "dataset.prompts_dir",
    "tracking.uri",
    "tracking.experiment",
    "tracking.traces",
    "judge.model_id",
    "judge.revision",
    "similarity.model_id",
    "similarity.revision",
)
"""Other settings that touch neither the answers nor the rows."""


def settings_now(stored: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The job's settings, with the scoring ones as the dataset's YAML and the overrides give them today.

    ConfigError when an override would change more than the scoring, or the protocol's questions have changed since.
    """
    protocol = str(stored.dataset.protocol)
    now, cfg = _composed(stored, overrides), completed(stored)
    for key in (text.lstrip("~+").split("=", 1)[0] for text in overrides):
        if key in _TAKEN:
            OmegaConf.update(cfg, key, OmegaConf.select(now, key))
        elif not key.startswith(tuple(f"dataset.protocols.{protocol}.{name}" for name in _SCORING)):
            takes = ", ".join([*_TAKEN, f"dataset.protocols.{protocol}.{{{','.join(_SCORING)}}}"])
            raise ConfigError(f"{key}: scoring again changes how answers are judged, nothing else; it takes {takes}")
    if protocol not in now.dataset.protocols:
        return cfg
    old, new = cfg.dataset.protocols[protocol], now.dataset.protocols[protocol]
    before, asked = _asking(old), _asking(new)
    asks = [key for key in dict.fromkeys([*before, *asked]) if before.get(key) != asked.get(key)]
    if new.version != old.version and asks:
        raise ConfigError(
            f"{stored.dataset.name}/{protocol} is at version {new.version} and asks differently ({', '.join(asks)}) "
            f"than version {old.version}, which was answered: run it again"
        )
    for key in _SCORING:
        cfg.dataset.protocols[protocol][key] = new[key]
    for key in ("to_sample", "runs_code", "text_reference"):
        cfg.dataset[key] = now.dataset[key]
    return cfg


def _asking(protocol: Any) -> dict[str, object]:
    """The settings of a protocol that put the question, by dotted name."""
    settings = OmegaConf.to_container(protocol, resolve=True, enum_to_str=True)
    assert isinstance(settings, dict)
    kept = {str(key): value for key, value in settings.items() if key not in (*_SCORING, "live_score")}
    return flatten(kept, separator=".")


def _composed(stored: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Today's configuration of the job's dataset; the stored one where no YAML has that name."""
    config.register()
    name = str(stored.dataset.name)
    if name not in choices("dataset"):
        ConfigStore.instance().store(group="dataset", name=name, node=stored.dataset)
    chosen = [f"dataset={name}", f"dataset.protocol={stored.dataset.protocol}"]
    with initialize_config_dir(str(places.conf_dir()), version_base="1.3"):
        return completed(compose("config", overrides=[*chosen, *overrides]))


def scoring_settings(cfg: DictConfig) -> dict[str, object]:
    """The protocol's scoring settings as plain values."""
    settings = OmegaConf.to_container(cfg.dataset.protocols[cfg.dataset.protocol], resolve=True, enum_to_str=True)
    assert isinstance(settings, dict)
    return {key: settings[key] for key in _SCORING}


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    old, new = flatten(before, "", "."), flatten(now, "", ".")
    absent = "absent"
    pairs = ((key, old.get(key, absent), new.get(key, absent)) for key in dict.fromkeys([*old, *new]))
    return [f"{key}: {a} -> {b}" for key, a, b in pairs if a != b]
