"""Plain values out of a YAML, checked against the fields of the dataclass that they build."""

from collections.abc import Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from wattrack.errors import ConfigError

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
_TEXTS = tuple[str, ...]
_NUMBERS = Mapping[str, float]


def settle(made: Any) -> None:
    """Check the plain fields of a frozen dataclass; whole numbers become floats where any may stand, lists tuples.

    Fields of other kinds are left as they are.

    Raises:
        ConfigError: names the field, what was expected and what came.
    """
    hints = get_type_hints(type(made))
    for field in fields(made):
        object.__setattr__(made, field.name, _settled(field.name, getattr(made, field.name), hints[field.name]))


def _settled(name: str, value: object, hint: object) -> object:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if value is None and NoneType in kinds:
        return None
    if hint == _TEXTS:
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{name}: expected a list of texts, got {value!r}")
        return tuple(value)
    if hint == _NUMBERS:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name}: expected names with a number each, got {value!r}")
        return {str(key): _settled(f"{name}.{key}", item, float) for key, item in value.items()}
    plain = [kind for kind in kinds if kind in _NAMES]
    if not plain or len(plain) + (NoneType in kinds) < len(kinds):
        return value
    if float in plain and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if any(type(value) is kind for kind in plain):
        return value
    raise ConfigError(f"{name}: expected {' or '.join(_NAMES[kind] for kind in plain)}, got {value!r}")
