"""What the leaderboard's Java and JavaScript arguments have in common: a text of source, read before it is compared."""

from collections.abc import Callable, Mapping, Sequence

from wattrack.scorers.bfcl import Accepted, item_type, typed_accepted

Converted = Callable[[str, str, str | None], object]
"""(text, its type, the type of its elements) -> the value; ValueError for more digits than Python reads."""


def source_accepted(
    value: object,
    details: Mapping[str, object],
    accepted: Accepted,
    *,
    types: Mapping[str, type],
    lists: Sequence[str],
    converted: Converted,
) -> bool:
    """Whether a value of a call is a text that reads as an accepted value of the described type."""
    if not isinstance(value, str):
        return False
    kind, nested = str(details["type"]), item_type(details)
    try:
        read = converted(value, kind, nested)
    except ValueError:  # more digits than Python reads
        return False
    return typed_accepted(read, types[kind], types[nested] if nested and kind in lists else None, accepted)


def python_number(text: str) -> object:
    """What Python reads as a number, else the text; the leaderboard's last resort in both languages."""
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
