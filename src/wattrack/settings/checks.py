"""Values of the configuration that have the right type and no meaning: refused before anything is built."""

import dataclasses
import difflib
import math
from collections.abc import Iterator

from omegaconf import DictConfig, OmegaConf

from wattrack.errors import ConfigError
from wattrack.prompts.choices import CHOICE_STYLES
from wattrack.prompts.tools import TOOL_STYLES, TOOLS_JSON
from wattrack.prompts.turns import TURNS
from wattrack.settings.config import Config, HardwareConfig, ProtocolConfig


def check(cfg: DictConfig) -> None:
    """Refuse values that have the right type and no meaning. ConfigError names the key, the value and the choices."""
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    for key in _unknown_keys(cfg, Config):
        raise ConfigError(f"{key}: there is no such setting")
    for key, least in (("limit", 1), ("repeats", 1), ("probe_questions", 0), ("preset.batch_size", 1)):
        value = OmegaConf.select(cfg, key)
        if value is not None and value < least:
            raise ConfigError(f"{key}={value}: must be {least} or more" + (" (or null)" if key == "limit" else ""))
    _check_machine(cfg.hardware)
    if cfg.tracking.traces not in ("all", "none") and not cfg.tracking.traces.isdigit():
        raise ConfigError(f"tracking.traces={cfg.tracking.traces}: must be all, none or a number")
    _check_shots(cfg)
    _check_lengths(cfg)
    _check_constrained(cfg)


def _check_constrained(cfg: DictConfig) -> None:
    """A grammar ends an answer, so nothing else may; choices and conversations have no schema."""
    settings, key = protocol(cfg), f"dataset.protocols.{cfg.dataset.protocol}.constrained"
    styles = ("chat", "completion", TOOLS_JSON)
    if settings.constrained and str(settings.style) not in styles:
        raise ConfigError(f"{key}: only for styles {', '.join(styles)}, not {settings.style}")
    if settings.constrained and (settings.stop or settings.fixed_length):
        raise ConfigError(f"{key}: the schema says where an answer ends: leave stop and fixed_length out")


def _check_lengths(cfg: DictConfig) -> None:
    """Exact lengths are for raw text and for answers that nothing else ends."""
    settings, key = protocol(cfg), f"dataset.protocols.{cfg.dataset.protocol}"
    style, wanted = str(settings.style), settings.prompt_tokens
    if wanted is not None and (wanted < 1 or style != "completion"):
        raise ConfigError(f"{key}.prompt_tokens={wanted}: must be 1 or more, with style completion (not {style})")
    if settings.fixed_length and (settings.stop or style in CHOICE_STYLES):
        raise ConfigError(f"{key}.fixed_length: only for generated answers without stop strings")
    if settings.max_new_tokens < 1:
        raise ConfigError(f"{key}.max_new_tokens={settings.max_new_tokens}: must be 1 or more")
    _check_spread(f"{key}.prompt_tokens_stddev", settings.prompt_tokens_stddev, "prompt_tokens", wanted is not None)
    exact = settings.fixed_length and style in ("completion", "chat")
    _check_spread(f"{key}.max_new_tokens_stddev", settings.max_new_tokens_stddev, "fixed_length: true", exact)


def _check_spread(key: str, stddev: float, needed: str, there: bool) -> None:
    """The standard deviation of a length that is exact."""
    if not 0 <= stddev < math.inf:
        raise ConfigError(f"{key}={stddev:g}: must be 0 or more")
    if stddev and not there:
        raise ConfigError(f"{key}={stddev:g}: needs {needed}; only exact lengths can be drawn")


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


def _check_shots(cfg: DictConfig) -> None:
    """Worked examples come from a shipped file or from rows of another split; for choices always from rows."""
    settings, key = protocol(cfg), f"dataset.protocols.{cfg.dataset.protocol}"
    choices, drawn = str(settings.style) in CHOICE_STYLES, settings.shots_split is not None
    if settings.preamble is not None and settings.style != "completion":
        raise ConfigError(f"{key}.preamble: only for style completion, not {settings.style}")
    if (settings.context is None) == ("{context}" in settings.template) or (
        settings.context and settings.style != "chat"
    ):
        raise ConfigError(f"{key}.context: goes with style chat and with {{context}} in the template")
    if choices and settings.shots is not None:
        raise ConfigError(f"{key}.shots={settings.shots}: style {settings.style} takes rows: use shots_split")
    if drawn and settings.shots is not None:
        raise ConfigError(f"{key}.shots={settings.shots}: worked examples come from shots or shots_split, not both")
    if settings.shots_skip and not (drawn and str(settings.shots_pick) == "first"):
        raise ConfigError(f"{key}.shots_skip={settings.shots_skip}: only with shots_split and shots_pick: first")
    if str(settings.style) in (*TOOL_STYLES, TURNS) and (
        settings.shots is not None or drawn or settings.template != "{question}"
    ):
        raise ConfigError(f"{key}: style {settings.style} asks the row's own messages: leave shots and template out")
    if settings.temperatures and settings.style != TURNS:
        raise ConfigError(f"{key}.temperatures: only for style {TURNS}, not {settings.style}")
    if drawn and settings.shots_split == cfg.dataset.split:
        raise ConfigError(f"{key}.shots_split={settings.shots_split}: the questions are from this split; take another")
    if settings.shots_count < drawn or (settings.shots_count and not drawn):
        needed = "must be 1 or more with shots_split" if drawn else "needs shots_split"
        raise ConfigError(f"{key}.shots_count={settings.shots_count}: {needed}")


def protocol(cfg: DictConfig) -> ProtocolConfig:
    """The chosen protocol's settings; ConfigError names the choices."""
    chosen, known = cfg.dataset.protocol, list(cfg.dataset.protocols)
    if chosen not in known:
        guess = difflib.get_close_matches(chosen, known, n=1)
        hint = f"; did you mean {guess[0]}?" if guess else ""
        raise ConfigError(f"dataset.protocol={chosen}: {cfg.dataset.name} has {', '.join(known)}{hint}")
    settings: ProtocolConfig = cfg.dataset.protocols[chosen]
    return settings


def _unknown_keys(cfg: DictConfig, kind: type, prefix: str = "") -> Iterator[str]:
    """Keys that `+key=value` pushed past the schema; Hydra lets them in, and nothing would ever read them."""
    fields = {f.name: f.type for f in dataclasses.fields(kind)}
    for key in map(str, cfg):
        if key not in fields:
            yield f"{prefix}{key}"
        elif isinstance(sub := fields[key], type) and dataclasses.is_dataclass(sub):
            yield from _unknown_keys(cfg[key], sub, f"{prefix}{key}.")
