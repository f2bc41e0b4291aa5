"""Numeric answers: strict (after a marker) and flexible (last number) extraction, compared as decimals.

Both take the *last* match: a model that recites examples before answering is judged by its final line. This differs on
purpose from lm-evaluation-harness, whose strict filter takes the first match and compares strings, so that "$29.00"
does not equal "29" there.
"""

import re
from decimal import Decimal, InvalidOperation

from wattrack.schema import Response, Sample, Score

# A minus straight after a digit or bracket is subtraction, not a sign: the last number of "10-3" is 3.
_NUMBER = re.compile(r"(?:(?<![\d)])[-\u2212])?\$?(?:\d[\d,]*(?:\.\d+)?|\.\d+)")

_GROUPED = re.compile(r"(?<=\d)(?:\{,\}|,?\\[,!;:]|[\u2009\u202f])(?=\d{3}(?!\d))")
"""What LaTeX and typographers put between thousands: 70{,}000, 70,\\!000, 70\\,000, a thin space."""


def parse(text: str) -> Decimal | None:
    """The number written in `text` (currency sign, thousands commas and blanks ignored), or None."""
    cleaned = text.strip().replace(",", "").replace("$", "").replace("\u2212", "-").rstrip(".")
    try:
        value = Decimal(cleaned)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def last_number(text: str) -> str | None:
    """The last number-like token of `text`, as written, but with commas between thousands for LaTeX's marks."""
    found = _NUMBER.findall(_GROUPED.sub(",", text))
    return found[-1] if found else None


def number_after(text: str, marker: str) -> str | None:
    """The number that follows the last `marker` on the same line, as `last_number`; case of the marker is ignored."""
    at = text.lower().rfind(marker.lower())
    if at < 0:
        return None
    line = text[at + len(marker) :].split("\n", 1)[0]
    match = _NUMBER.search(_GROUPED.sub(",", line))
    return match.group() if match else None


def score(sample: Sample, response: Response, *, marker: str) -> Score:
    """`exact_match_strict`, `exact_match_flexible`, and `format_compliance`: there is a number after the marker.

    The answer shown is the strict one where there is one.
    The headline `value` is the strict match; the protocol's `headline` decides which becomes quality/score.
    """
    target = parse(sample.target)
    strict, flexible = number_after(response.text, marker), last_number(response.text)
    answer = strict if strict is not None else flexible
    matches = {
        "exact_match_strict": _equal(strict, target),
        "exact_match_flexible": _equal(flexible, target),
        "format_compliance": float(strict is not None),
    }
    how = f"after {marker!r}" if strict is not None else "last number" if flexible is not None else "no number found"
    return Score(value=matches["exact_match_strict"], answer=answer, explanation=how, metrics=matches)


def _equal(written: str | None, target: Decimal | None) -> float:
    return float(written is not None and target is not None and parse(written) == target)
