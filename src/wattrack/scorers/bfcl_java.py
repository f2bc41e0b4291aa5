"""Whether a text is an accepted value of a Java argument: the rules of the Berkeley Function-Calling Leaderboard.

Source: ShishirPatil/gorilla, bfcl_eval/eval_checker/ast_eval/type_convertor/java_type_converter.py. An argument is a
text of Java source, whatever its type: "true", "5L", "new int[]{1, 2}", "mapController". It is read by a few patterns,
and what fits none stays a text. Their quirks are kept, because they are in every published score:
- the texts in `new String[]{"a", "b"}` keep their quotes, so that only `new String[]{a, b}` is the list a, b;
- lists are split at every comma and end at the first closing bracket, and a long needs its L, a float its f.

Deviations: a collection of more than 1,000 characters is not read (the longest accepted answer has about 100), and a
number beyond Python's limit of digits, where the upstream program stops, is wrong.
Compared with bfcl-eval 2026.3.23: its checker on 24,830 right and damaged calls made from the published rows, its
converter on 100,000 random texts; no verdict and no value differs.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from wattrack.scorers.bfcl import Accepted
from wattrack.scorers.bfcl_source import python_number, source_accepted

TYPES: Mapping[str, type] = {
    "byte": int,
    "short": int,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": bool,
    "char": str,
    "String": str,
    "any": str,
    "Array": list,
    "ArrayList": list,
    "HashMap": dict,
}
"""The leaderboard's names of Java types -> what values are compared as; others (Set, Queue) it does not read either."""
LISTS = ("Array", "ArrayList")
"""Types whose description must name the type of the elements."""

_LONGEST = 1_000

_WHOLE = re.compile(r"-?\d+$")
_SCALARS: Mapping[str, tuple[re.Pattern[str], Callable[[str], object]]] = {
    "byte": (_WHOLE, int),
    "short": (_WHOLE, int),
    "integer": (_WHOLE, int),
    "long": (re.compile(r"-?\d+[lL]$"), lambda text: int(text.rstrip("\nlL"))),
    "float": (re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[fF]$"), lambda text: float(text.rstrip("\nfF"))),
    "double": (re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$"), float),
    "boolean": (re.compile(r"(?:true|false)\Z"), lambda text: text == "true"),
}
"""How a number or a truth value is written; another text stays one."""

_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*?)\}")
_AS_LIST = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)")
_ADDED = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{\s*(\S.*?)\}\}", re.DOTALL)
_ADD = re.compile(r"add\((.+?)\)")
_NEW_LIST = re.compile(r"new\s+ArrayList<\w*>\(\)")
_FILLED_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)\s*\{\s*\{?([^}]*)\}", re.DOTALL)
_PUT = re.compile(r'put\("(.*?)",\s*(.*?)\)')
_NEW_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)")


def value_accepted(value: object, details: Mapping[str, object], accepted: Accepted) -> bool:
    """Whether a value of a call is a text that reads as an accepted value of the described type."""
    return source_accepted(value, details, accepted, types=TYPES, lists=LISTS, converted=converted)


def converted(text: str, kind: str, nested: str | None = None) -> object:
    """A text of Java source as a value of a type; the text itself where it is not written like one.

    Raises:
        ValueError: a number with more digits than Python reads.
    """
    if kind in _SCALARS:
        pattern, read = _SCALARS[kind]
        return read(text) if pattern.match(text) else text
    if TYPES[kind] is str or len(text) > _LONGEST:
        return text
    if kind == "HashMap":
        return _map(text)
    return _array(text, nested) if kind == "Array" else _array_list(text, nested)


def _array(text: str, nested: str | None) -> object:
    found = _ARRAY.search(text)
    if found is None:
        return text
    return [_element(part.strip(), nested) for part in found[1].split(",") if part.strip()]


def _array_list(text: str, nested: str | None) -> object:
    if found := _AS_LIST.search(text):
        return _elements(found[1].split(","), nested)
    if found := _ADDED.search(text):
        return _elements(_ADD.findall(found[1]), nested)
    return [] if _NEW_LIST.search(text) else text


def _elements(parts: Sequence[str], nested: str | None) -> list[object]:
    """Of an ArrayList: here, unlike in arrays, the quotes of texts are taken off, whatever the first and last are."""
    bare = nested in ("char", "String")
    return [part.strip()[1:-1] if bare else _element(part.strip(), nested) for part in parts]


def _element(text: str, nested: str | None) -> object:
    return converted(text, nested) if nested else _untyped(text)


def _map(text: str) -> object:
    if found := _FILLED_MAP.search(text):
        return {key: _untyped(value.strip()) for key, value in _PUT.findall(found[1])}
    return {} if _NEW_MAP.search(text) else text


def _untyped(text: str) -> object:
    """A value of a map or of a list of unknown type."""
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    for kind in ("long", "float"):
        pattern, read = _SCALARS[kind]
        if pattern.match(text):
            return read(text)
    return python_number(text)


def written(value: object, kind: str, nested: str | None) -> str:
    """An accepted value as a text that reads as it: so the elements of arrays stand without quotes, whatever Java says.

    Accepted maps hold lists of accepted entries, of which the first is taken.
    """
    if isinstance(value, Mapping):
        entries = {key: options[0] for key, options in value.items() if isinstance(options, list)}
        puts = (f'put("{key}", {_quoted(entry)});' for key, entry in entries.items())
        return f"new HashMap<String, Object>() {{{{ {' '.join(puts)} }}}}"
    if isinstance(value, list) and kind == "Array":
        return f"new Object[]{{{', '.join(str(item) for item in value)}}}"
    if isinstance(value, list):
        items = (f"{item}L" if nested == "long" else _quoted(item) for item in value)
        return f"new ArrayList<>(Arrays.asList({', '.join(items)}))"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"{text}L" if kind == "long" else text


def _quoted(entry: object) -> str:
    return f'"{entry}"' if isinstance(entry, str) else str(entry).lower()
