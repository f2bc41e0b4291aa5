"""What somebody may have meant by a name that is not there."""

import difflib
from collections.abc import Collection


def guess(name: str, known: Collection[str]) -> str:
    """The words "; did you mean NAME?" with the closest of the known names; empty when none is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
