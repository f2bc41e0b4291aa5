"""The `prompt` nodes of a configuration: what each may say, its defaults written out, and the prompt made of it."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, get_args, get_type_hints

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from wattrack.errors import ConfigError
from wattrack.prompts.asking import FILLED, Prompt
from wattrack.settings.config import ProtocolConfig
from wattrack.settings.construct import constructed
from wattrack.settings.guess import guess

_TARGET = "_target_"
_NEEDED = inspect.Parameter.empty
_OF_A_PROMPT = ("prepared", "turns", "request", "sha256")


def taken(target: str) -> dict[str, Any]:
    """The settings that a `_target_` takes, with their defaults; a setting without one has `inspect`'s empty mark.

    Raises:
        ConfigError: there is nothing of that name to call.
    """
    kind = _located(target)
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = {p.name: p.default for p in inspect.signature(kind).parameters.values() if p.kind in named}
    for field in dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ():
        if field.metadata.get(FILLED):
            found.pop(field.name, None)
        elif field.default_factory is not dataclasses.MISSING and field.name in found:
            found[field.name] = field.default_factory()
    return found


def _located(target: str) -> Any:
    try:
        kind = get_object(target)
        inspect.signature(kind)
    except Exception as e:
        raise ConfigError(f"{_TARGET}={target}: {str(e).splitlines()[0]}") from e
    return kind


def protocol(cfg: DictConfig) -> ProtocolConfig:
    """The chosen protocol's settings; ConfigError names the choices."""
    chosen, known = cfg.dataset.protocol, list(cfg.dataset.protocols)
    if chosen not in known:
        raise ConfigError(f"dataset.protocol={chosen}: {cfg.dataset.name} has {', '.join(known)}{guess(chosen, known)}")
    settings: ProtocolConfig = cfg.dataset.protocols[chosen]
    return settings


def build_prompt(cfg: DictConfig) -> Prompt:
    """How the chosen protocol asks; rows and files are not read yet. ConfigError names the setting that is wrong."""
    node, key = protocol(cfg).prompt, f"dataset.protocols.{cfg.dataset.protocol}.prompt"
    try:
        made: Prompt = constructed(OmegaConf.create(_complete(node)), "", _convert_="all")
    except ConfigError as e:
        raise ConfigError(_placed(key, e)) from e
    if made.draw is not None and made.draw.split == cfg.dataset.split:
        raise ConfigError(f"{key}.shots.split={made.draw.split}: the questions are from this split; take another")
    return made


def completed(cfg: DictConfig) -> DictConfig:
    """A copy in which every prompt says all of its settings: what is stored does not depend on tomorrow's defaults.

    Protocols that are not asked and whose prompts cannot be understood stay as they are.

    Raises:
        ConfigError: the chosen protocol's prompt has a setting that there is not, or lacks one.
    """
    cfg = cfg.copy()
    for name, settings in cfg.dataset.protocols.items():
        try:
            settings.prompt = _complete(settings.prompt)
        except ConfigError as e:
            if name == cfg.dataset.protocol:
                raise ConfigError(_placed(f"dataset.protocols.{name}.prompt", e)) from e
    return cfg


def _placed(key: str, error: ConfigError) -> str:
    """The message about a setting of a node, or about the node itself, with the node's place before it."""
    return f"{key}{error}" if str(error).startswith(":") else f"{key}.{error}"


def _complete(node: Any) -> dict[str, Any]:
    """The node of a prompt with everything in it."""
    try:
        given = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    except OmegaConfBaseException as e:
        raise ConfigError(f": {str(e).splitlines()[0]}") from e
    if not isinstance(given, dict) or _TARGET not in given:
        what = "it is no node" if not isinstance(given, dict) else f"{_TARGET} is missing"
        raise ConfigError(f": {what}; expected what names a class that asks, such as wattrack.prompts.chat.Chat")
    kind = _located(str(given[_TARGET]))
    if not isinstance(kind, type) or not all(hasattr(kind, name) for name in _OF_A_PROMPT):
        needed = ", ".join(_OF_A_PROMPT)
        raise ConfigError(f"{_TARGET}={given[_TARGET]}: expected a class as in wattrack.prompts, with {needed}")
    if "_partial_" in given:
        raise ConfigError("_partial_: a prompt is made at once; leave it out")
    return _whole({str(k): v for k, v in given.items()})


def _whole(given: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The node with its defaults; nodes inside that build something as well."""
    kind, known = _located(str(given[_TARGET])), taken(str(given[_TARGET]))
    takes_any = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(kind).parameters.values())
    for key in given:
        if key not in known and not key.startswith("_") and not takes_any:
            hint = guess(key, known) or "."
            what = str(given[_TARGET]).rpartition(".")[2]
            raise ConfigError(f"{prefix}{key}: there is no such setting{hint} {what} takes: {', '.join(known)}")
    if given.get("_partial_"):
        return dict(given)  # the rest of its arguments comes with every call
    if lacking := [key for key, default in known.items() if default is _NEEDED and key not in given]:
        raise ConfigError(f"{prefix}{lacking[0]}: missing")
    hints = getattr(kind, "__annotations__", {}) if not dataclasses.is_dataclass(kind) else get_type_hints(kind)
    defaults = {key: default for key, default in known.items() if _writable(default)}
    whole = {**{k: v for k, v in given.items() if k.startswith("_")}, **defaults, **given}
    return {key: _plain(value, hints.get(key), f"{prefix}{key}.") for key, value in whole.items()}


def _writable(default: Any) -> bool:
    """Whether a YAML can say it; what it cannot stays the constructor's."""
    if isinstance(default, list | tuple | dict):
        return all(_writable(item) for item in (default.values() if isinstance(default, dict) else default))
    return default is None or isinstance(default, bool | int | float | str)


def _plain(value: Any, hint: Any, prefix: str) -> Any:
    """The value as a YAML has it; equal settings are equal however they were written."""
    if isinstance(value, Mapping) and _TARGET in value:
        return _whole(value, prefix)
    if isinstance(value, Mapping):
        return {key: _plain(item, float if hint == Mapping[str, float] else None, "") for key, item in value.items()}
    if (hint is float or float in get_args(hint)) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return list(value) if isinstance(value, tuple) else value
