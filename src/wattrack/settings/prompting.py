"""The `prompt` nodes of a configuration: what each may say, its defaults written out, and the prompt made of it."""

import dataclasses
import difflib
import inspect
from collections.abc import Mapping
from typing import Any

from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from wattrack.errors import ConfigError
from wattrack.prompts.asking import FILLED, Prompt
from wattrack.settings.config import ProtocolConfig
from wattrack.settings.construct import constructed

_TARGET = "_target_"
_NEEDED = inspect.Parameter.empty


def taken(target: str) -> dict[str, Any]:
    """The settings that a `_target_` takes, with their defaults; a setting without one has `inspect`'s empty mark.

    Raises:
        ConfigError: there is nothing of that name to call.
    """
    try:
        kind = get_object(target)
    except Exception as e:
        raise ConfigError(f"{_TARGET}={target}: {str(e).splitlines()[0]}") from e
    found = {p.name: p.default for p in inspect.signature(kind).parameters.values()}
    if not dataclasses.is_dataclass(kind):
        return found
    for field in dataclasses.fields(kind):
        if field.metadata.get(FILLED):
            del found[field.name]
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return found


def protocol(cfg: DictConfig) -> ProtocolConfig:
    """The chosen protocol's settings; ConfigError names the choices."""
    chosen, known = cfg.dataset.protocol, list(cfg.dataset.protocols)
    if chosen not in known:
        guess = difflib.get_close_matches(chosen, known, n=1)
        hint = f"; did you mean {guess[0]}?" if guess else ""
        raise ConfigError(f"dataset.protocol={chosen}: {cfg.dataset.name} has {', '.join(known)}{hint}")
    settings: ProtocolConfig = cfg.dataset.protocols[chosen]
    return settings


def build_prompt(cfg: DictConfig) -> Prompt:
    """How the chosen protocol asks; rows and files are not read yet. ConfigError names the setting that is wrong."""
    key = f"dataset.protocols.{cfg.dataset.protocol}.prompt"
    try:
        node = OmegaConf.create(_complete(protocol(cfg).prompt))
        made: Prompt = constructed(node, "", _convert_="all")
    except ConfigError as e:
        raise ConfigError(f"{key}{'' if str(e).startswith(':') else '.'}{e}") from e
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
    for name, protocol in cfg.dataset.protocols.items():
        try:
            protocol.prompt = _complete(protocol.prompt)
        except ConfigError as e:
            if name == cfg.dataset.protocol:
                raise ConfigError(f"dataset.protocols.{name}.prompt.{e}") from e
    return cfg


def _complete(node: Any) -> dict[str, Any]:
    given = OmegaConf.to_container(node)
    assert isinstance(given, dict)
    return _whole({str(k): v for k, v in given.items()})


def _whole(given: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The node with its defaults; nodes inside that build something as well."""
    if _TARGET not in given:
        raise ConfigError(f"{prefix}{_TARGET}: missing; it names what asks, such as wattrack.prompts.chat.Chat")
    known = taken(str(given[_TARGET]))
    for key in given:
        if key not in known and not key.startswith("_"):
            guess = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {guess[0]}?" if guess else ""
            what = str(given[_TARGET]).rpartition(".")[2]
            raise ConfigError(f"{prefix}{key}: there is no such setting{hint or '.'} {what} takes: {', '.join(known)}")
    if given.get("_partial_"):
        return dict(given)  # the rest of its arguments comes with every call
    if lacking := [key for key, default in known.items() if default is _NEEDED and key not in given]:
        raise ConfigError(f"{prefix}{lacking[0]}: missing")
    whole = {**{k: v for k, v in given.items() if k.startswith("_")}, **known, **given}
    return {key: _plain(value, known.get(key), f"{prefix}{key}.") for key, value in whole.items()}


def _plain(value: Any, default: Any, prefix: str) -> Any:
    """The value as a YAML has it; equal settings are equal however they were written."""
    if isinstance(value, Mapping) and _TARGET in value:
        return _whole(value, prefix)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
