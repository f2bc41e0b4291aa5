"""Whether a text is an accepted value of a JavaScript argument: the rules of the Berkeley Function-Calling Leaderboard.

Source: ShishirPatil/gorilla, bfcl_eval/eval_checker/ast_eval/type_convertor/js_type_converter.py. An argument is a text
of JavaScript source, whatever its type: "true", "5n", "[1, 2]", "{a: 'b'}", "userInputField". It is read by a few
patterns, and what fits none stays a text. Their quirks are kept, because they are in every published score: arrays are
split at every comma, an object ends at its first brace, and what follows either is ignored; in an object quotes are
taken off before a value is read, so that '5' is the number; a text may stand with or without quotes.

Deviations: an array or object of more than 1,000 characters is not read (the longest accepted answer has about 150),
and a number beyond Python's limit of digits, where the upstream program stops, is wrong.
Compared with bfcl-eval 2026.3.23: its checker on 14,276 right and damaged calls made from the published rows, its
converter on 100,000 random texts; no verdict and no value differs.
"""

import re
from collections.abc import Callable, Mapping

from wattrack.scorers.bfcl import Accepted
from wattrack.scorers.bfcl_source import python_number, source_accepted

TYPES: Mapping[str, type] = {
    "String": str,
    "any": str,
    "integer": int,
    "Bigint": int,
    "float": float,
    "Boolean": bool,
    "array": list,
    "dict": dict,
}
"""The leaderboard's names of JavaScript types -> what values are compared as."""
LISTS = ("array",)
"""Types whose description must name the type of the elements."""

_LONGEST = 1_000

_SCALARS: Mapping[str, tuple[re.Pattern[str], Callable[[str], object]]] = {
    "integer": (re.compile(r"-?\d+$"), int),
    "Bigint": (re.compile(r"-?\d+n$"), lambda text: int(text.rstrip("\nn"))),
    "float": (re.compile(r"-?\d+(?:\.\d+)?$"), float),
    "Boolean": (re.compile(r"(?:true|false)\Z"), lambda text: text == "true"),
}
"""How a number or a truth value is written; another text stays one."""

_LIST = re.compile(r"\[(.*?)\]|new\s+Array\((.*?)\)")
_TABLE = re.compile(r"(?:\[|new\s+Array\()\s*\[")
_ROW_ENDS = re.compile(r"\s*(?:(?P<next>,\s*\[)|(?P<close>[\])]))")
_OBJECT = re.compile(r"\{(.*?)\}")
_PAIR = re.compile(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")
"""A key and its value, which ends at a comma before the next key, so that arrays may hold commas."""


def value_accepted(value: object, details: Mapping[str, object], accepted: Accepted) -> bool:
    """Whether a value of a call is a text that reads as an accepted value of the described type."""
    return source_accepted(value, details, accepted, types=TYPES, lists=LISTS, converted=converted)


def converted(text: str, kind: str, nested: str | None = None) -> object:
    """A text of JavaScript source as a value of a type; the text itself where it is not written like one.

    Raises:
        ValueError: a number with more digits than Python reads.
    """
    if kind in _SCALARS:
        pattern, read = _SCALARS[kind]
        return read(text) if pattern.match(text) else text
    if kind == "String":
        return _bare(text)
    if kind == "any" or len(text) > _LONGEST:
        return text
    return _object(text.strip()) if kind == "dict" else _array(text.strip(), nested)


def _bare(text: str) -> str:
    """A text without the quotes around it."""
    return text[1:-1] if any(text.startswith(quote) and text.endswith(quote) for quote in "\"'") else text


def _array(code: str, nested: str | None = None) -> object:
    if (table := _table(code)) is not None:
        first, *rest = re.findall(r"\[(.*?)\]", table)  # the first comes with the bracket around all of them
        rows = (first.strip().removeprefix("["), *rest)
        return [[_untyped(part) for part in row.split(",")] for row in rows]
    found = _LIST.match(code)
    if found is None:
        return code
    inside = (found[1] if found[1] is not None else found[2]).strip()
    parts = [part.strip() for part in inside.split(",")] if inside else []
    try:
        return [converted(part, nested) if nested else _untyped(part) for part in parts]
    except ValueError:
        return code


def _table(code: str) -> str | None:
    """The `[[...], [...]]` or `new Array([...], ...)` that the code begins with, without what follows it."""
    opening = _TABLE.match(code)
    if opening is None:
        return None
    closing = "]" if code.startswith("[") else ")"
    row = at = opening.end()
    while (end := code.find("]", at)) >= 0 and "\n" not in code[row:end]:
        after = _ROW_ENDS.match(code, end + 1)
        if after is not None and after["close"] == closing:
            return code[: after.end()]
        at = end + 1
        if after is not None and after["next"]:
            row = at = after.end()
    return None


def _object(code: str) -> object:
    found = _OBJECT.match(code)
    if found is None:
        return code
    return {key.strip().strip("'\""): _entry(value.strip()) for key, value in _PAIR.findall(found[1])}


def _entry(value: str) -> object:
    return _array(value) if value.startswith("[") and value.endswith("]") else _untyped(value.strip("'\""))


def _untyped(text: str) -> object:
    """A value of an object, of a table or of a list of unknown type."""
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    bare = _bare(text)
    return bare if bare != text else python_number(text)


def written(value: object, _kind: str, _nested: str | None) -> str:
    """An accepted value as a text that reads as it, whatever its type; of an object the first accepted entries."""
    if isinstance(value, Mapping):
        entries = {key: options[0] for key, options in value.items()}
        return f"{{{', '.join(f'{key}: {_quoted(entry)}' for key, entry in entries.items())}}}"
    return _quoted(value) if isinstance(value, list | bool) else str(value)


def _quoted(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_quoted(item) for item in value)}]"
    return f'"{value}"' if isinstance(value, str) else str(value).lower()
