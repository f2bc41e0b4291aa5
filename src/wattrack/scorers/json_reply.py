"""The JSON value in a reply: the whole text, else the first fenced block, else the first balanced brackets.

Strict JSON (RFC 8259): NaN and Infinity are refused. So are duplicate keys, about which the RFC says only that they
make the result unpredictable, and nesting beyond 100 levels, which the RFC leaves to the reader.
"""

import json
import re
from dataclasses import dataclass
from typing import Literal

ParseError = Literal["none", "empty", "truncated", "no_json", "syntax"]
Found = Literal["whole", "fence", "brackets", "nowhere"]

_DEEPEST = 100
_BLANKS = " \t\n\r"
"""The RFC's; a no-break space around a value is not JSON."""
_PAIRS = {"}": "{", "]": "["}
_DIVIDER = re.compile(rf"[{_BLANKS}]*[,;]?[{_BLANKS}]*")
_MARK = re.compile(r'[{}\[\]"]')
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_QUOTATION = re.compile(r'(?<!\w)"(?:[^"\\\n]|\\.)*"')
"""A string of prose: it opens before a word (12" is none) and ends on its line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonReply:
    """What a reply holds."""

    value: object
    """The parsed value; None where nothing parsed (`error` tells that from a null)."""
    text: str | None
    """The part of the reply that parsed."""
    found: Found
    error: ParseError
    """`truncated`: nothing parsed and the answer was cut at max_new_tokens; `no_json`: no bracket and no fence."""


def read_json(text: str, *, truncated: bool) -> JsonReply:
    """The JSON value of a reply."""
    whole = text.strip(_BLANKS)
    fence, brackets = fenced(whole), balanced(whole)
    places: list[tuple[Found, str | None]] = [("whole", whole), ("fence", fence), ("brackets", brackets)]
    for found, part in places:
        if part:
            try:
                return JsonReply(value=parse(part), text=part, found=found, error="none")
            except ValueError:
                continue
    error: ParseError = "syntax" if "```" in whole or "{" in whole or "[" in whole else "no_json"
    if truncated:
        error = "truncated"
    elif not text.strip():
        error = "empty"
    return JsonReply(value=None, text=None, found="nowhere", error=error)


def parse(text: str) -> object:
    """One JSON value; ValueError for anything else."""
    value, *more = parse_several(text)
    if more or text.rstrip(_BLANKS)[-1] in ",;":
        raise ValueError("more than one JSON value")
    return value


def parse_several(text: str) -> list[object]:
    """JSON values divided by blanks, a comma or a semicolon, at least one; ValueError for anything else."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
    values: list[object] = []
    at = len(text) - len(text.lstrip(_BLANKS))
    while at < len(text) or not values:
        try:
            value, at = decoder.raw_decode(text, at)
        except RecursionError as e:
            raise ValueError(f"nested deeper than {_DEEPEST} levels") from e
        values.append(_shallow(value))
        divider = _DIVIDER.match(text, at)
        at = divider.end() if divider else at
    return values


def _shallow(value: object) -> object:
    level = [value]
    for _ in range(_DEEPEST):
        level = [child for item in level if isinstance(item, dict | list) for child in _children(item)]
        if not level:
            return value
    raise ValueError(f"nested deeper than {_DEEPEST} levels")


def _children(value: dict[str, object] | list[object]) -> list[object]:
    return list(value.values()) if isinstance(value, dict) else value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return found


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no JSON")


def fenced(text: str) -> str | None:
    """The lines inside the first pair of ``` marks, whatever language the first names."""
    _, _, rest = text.partition("```")
    _, _, lines = rest.partition("\n")
    inside, end, _ = lines.partition("```")
    return inside.strip() if end else None


def balanced(text: str) -> str | None:
    """The first {...} or [...] that closes, brackets inside strings not counted; one pass over the text."""
    opened: list[tuple[str, int]] = []
    spans: list[tuple[int, int]] = []
    at = no_string_before = 0
    while (found := _MARK.search(text, at)) is not None:
        at, mark = found.end(), found.group()
        if mark == '"':
            if found.start() >= no_string_before:
                at, no_string_before = _after_string(text, found.start(), inside=bool(opened))
        elif mark in _PAIRS.values():
            opened.append((mark, found.start()))
        elif opened:
            bracket, start = opened.pop()
            if bracket != _PAIRS[mark]:
                opened.clear()  # nothing around a wrong bracket can balance any more
                continue
            spans.append((start, at))
            if not opened:
                break
    if not spans:
        return None
    start, end = min(spans)
    return text[start:end]


def _after_string(text: str, quote: int, *, inside: bool) -> tuple[int, int]:
    """(where to go on, before where no string can begin) after the quote at `quote`; of an open one only the quote."""
    string = (_STRING if inside else _QUOTATION).match(text, quote)
    if string is not None:
        return string.end(), 0
    # Looking for the end of each later quote as well would take the square of the text's length.
    line_end = -1 if inside else text.find("\n", quote)
    return quote + 1, len(text) if line_end < 0 else line_end
