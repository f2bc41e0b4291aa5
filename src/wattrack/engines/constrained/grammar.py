"""A JSON Schema as the grammar library takes it: what it reads differently is rewritten, what it cannot hold is named.

Of Draft 2020-12 the library (llguidance) refuses what it does not know. Two things are settled before it sees a schema:
`uniqueItems`, which no context-free grammar can hold, is written out for short lists of an enumeration's values, and
else left out and reported. The formats that the scorers check become patterns that admit only what is right, because
the library's own admit 0000-01-01, 2023-02-29 and addresses without a dot. Keys that only `additionalProperties`
admits may come twice, which the scorers refuse.
"""

import importlib.metadata
import importlib.util
import itertools
import json
import math
from collections.abc import Mapping

from wattrack.errors import EngineError

_UNIQUE = "uniqueItems"
_WRITTEN_OUT = 200
"""Most lists of different values that become alternatives."""

_OPTIONS = "x-guidance"
"""Where the library looks for options; one of them makes it ignore what it does not know."""
_MONTHS = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])"
_LEAP = "0[48]|[2468][048]|[13579][26]"
_FORMATS = {
    "date": (
        f"^((000[1-9]|00[1-9][0-9]|0[1-9][0-9]{{2}}|[1-9][0-9]{{3}})-({_MONTHS})"
        f"|([0-9]{{2}}({_LEAP})|({_LEAP})00)-02-29)$"
    ),
    # HTML's own rule for addresses (WHATWG, "valid e-mail address"), with at least one dot.
    "email": "^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+$",
}
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords whose values are schemas by name."""
_NOTES = ("title", "description", "default", "examples")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames",
           "unevaluatedItems", "unevaluatedProperties", "additionalItems")  # fmt: skip


def require() -> None:
    """EngineError where the library is missing, with how to get it."""
    if importlib.util.find_spec("llguidance") is None:
        raise EngineError(
            "constrained decoding needs the package llguidance: pip install 'wattrack[constrained]', or choose a "
            "protocol with free decoding"
        )


def library() -> str:
    """Name and version of the library that computes the masks."""
    return f"llguidance {importlib.metadata.version('llguidance')}"


def rewritten(schema: Mapping[str, object]) -> tuple[str, tuple[str, ...]]:
    """(the schema as JSON text, its keywords that the grammar does not hold answers to)."""
    left: set[str] = set()
    known = {key: value for key, value in schema.items() if key != _OPTIONS}
    return json.dumps(_schema(known, left), ensure_ascii=False), tuple(sorted(left))


def _schema(value: object, left: set[str]) -> object:
    """Keywords in their order, which is the order of an object's keys in the answer; data (enum, const) untouched."""
    if not isinstance(value, Mapping):
        return value
    found = {key: _below(key, item, left) for key, item in value.items() if key != _UNIQUE}
    if value.get(_UNIQUE):
        if (lists := _different(found)) is not None:
            return lists
        left.add(_UNIQUE)
    if (pattern := _FORMATS.get(str(value.get("format")))) is None:
        return found
    del found["format"]
    if "pattern" not in found:
        return {**found, "pattern": pattern}
    others = found.get("allOf", [])
    return {**found, "allOf": [*(others if isinstance(others, list) else []), {"pattern": pattern}]}


def _different(schema: Mapping[str, object]) -> object:
    """Every list of different values of an enumeration, as alternatives; None where it is no such list, or too many."""
    items, least, most = schema.get("items"), schema.get("minItems", 0), schema.get("maxItems")
    values = items.get("enum") if isinstance(items, Mapping) else None
    if not isinstance(items, Mapping) or not isinstance(values, list) or schema.get("type") != "array":
        return None
    assert isinstance(least, int) and isinstance(most, int | None), "the task checks its schemas"
    lengths = range(least, min(len(values), len(values) if most is None else most) + 1)
    number = sum(math.perm(len(values), length) for length in lengths)
    if not 0 < number <= _WRITTEN_OUT or schema.keys() - {"type", "items", "minItems", "maxItems", *_NOTES}:
        return None
    own = {key: item for key, item in items.items() if key != "enum"}
    return {
        "anyOf": [
            {"type": "array", "prefixItems": [{**own, "const": v} for v in chosen], "items": False, "minItems": length}
            for length in lengths
            for chosen in itertools.permutations(values, length)
        ]
    }


def _below(key: str, item: object, left: set[str]) -> object:
    """A keyword's value with the schemas in it rewritten."""
    if key in _BY_NAME and isinstance(item, Mapping):
        return {name: _schema(one, left) for name, one in item.items()}
    if key in _LISTED and isinstance(item, list):
        return [_schema(one, left) for one in item]
    return _schema(item, left) if key in _SINGLE else item
