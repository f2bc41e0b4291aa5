"""Values of the configuration that have the right type and no meaning: refused before anything is built."""

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf

from wattrack.errors import ConfigError
from wattrack.settings.config import Config, HardwareConfig
from wattrack.settings.prompting import build_prompt
from wattrack.settings.refusal import unknown_key


def check(cfg: DictConfig) -> None:
    """Refuse values that have the right type and no meaning. ConfigError names the key, the value and the choices."""
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    for key in _unknown_keys(cfg, Config):
        raise ConfigError(unknown_key(key))
    for key, least in (("limit", 1), ("repeats", 1), ("probe_questions", 0), ("preset.batch_size", 1)):
        value = OmegaConf.select(cfg, key)
        if value is not None and value < least:
            raise ConfigError(f"{key}={value}: must be {least} or more" + (" (or null)" if key == "limit" else ""))
    _check_machine(cfg.hardware)
    if cfg.tracking.traces not in ("all", "none") and not cfg.tracking.traces.isdigit():
        raise ConfigError(f"tracking.traces={cfg.tracking.traces}: must be all, none or a number")
    build_prompt(cfg)


def _check_machine(machine: HardwareConfig) -> None:
    """Rates, prices and ratings have a range; null means unknown."""
    if not 1 <= machine.sample_hz <= 10:
        raise ConfigError(f"hardware.sample_hz={machine.sample_hz:g}: must be between 1 and 10")
    for key in ("idle_s", "hourly_usd", "usd_per_kwh", "carbon_intensity_g_per_kwh"):
        if (getattr(machine, key) or 0.0) < 0:
            raise ConfigError(f"hardware.{key}={getattr(machine, key):g}: must be 0 or more")
    for key in ("memory_bandwidth_gb_s", "peak_tflops"):
        value = getattr(machine, key)
        if value is not None and value <= 0:
            raise ConfigError(f"hardware.{key}={value:g}: must be more than 0 (or null)")
    if machine.pue < 1:
        raise ConfigError(f"hardware.pue={machine.pue:g}: a power usage effectiveness is 1 or more")


def _unknown_keys(cfg: DictConfig, kind: Any, prefix: str = "") -> Iterator[str]:
    """Keys that `+key=value` pushed past the schema; Hydra lets them in, and nothing would ever read them."""
    fields = {f.name: f.type for f in dataclasses.fields(kind)}
    for key in map(str, cfg):
        if key not in fields:
            yield f"{prefix}{key}"
        elif isinstance(sub := fields[key], type) and dataclasses.is_dataclass(sub):
            yield from _unknown_keys(cfg[key], sub, f"{prefix}{key}.")
        elif (named := get_args(fields[key])) and dataclasses.is_dataclass(kind_of_each := named[-1]):
            for name in map(str, cfg[key]):
                yield from _unknown_keys(cfg[key][name], kind_of_each, f"{prefix}{key}.{name}.")
