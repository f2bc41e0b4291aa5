"""Multiple choice by generation: which label (A, B, ... or 1, 2, ...) a text chooses, without guessing.

letter_strict    the last line that is not blank is `Answer: X` and nothing else; marks of emphasis, brackets and a
                 final full stop around X are allowed, and case does not matter
letter_flexible  the strict one; else what follows the last "answer is", "answer:", "correct option is" or \\boxed: a
                 label on its own, a label before its choice's text or an explanation, or a choice's whole text; else
                 the whole reply is such a thing

The last statement counts: a model that recites the format or changes its mind is judged by its final word
(simple-evals takes the first match and compares "b" with "B"). Two labels ("A or B"), a label with another choice's
text ("A. Oslo" where Oslo is B) and a denial after the last statement ("the answer is not C") are no answer. A label is
never taken out of running text: "The answer is A dog" is one only where "A dog" is a choice.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from wattrack.schema import Response, Sample, Score

_MATHS = re.compile(r"\\[()\[\]]")
"""LaTeX's other marks of mathematics, which say what a dollar sign says."""
_MARKER = re.compile(
    r"(?:\banswer\b|\b(?:correct|right|best) (?:option|choice|label|letter)\b)[*_`\"']*\s*"
    r"(?:(?:is|would be|must be|should be)\b\s*:?|[:=])|\\boxed(?=\{)",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"(?:[\s*_`\"'(\[{$]|\\(?:boxed|text|textbf|mathbf|mathrm)\{|(?:the )?(?:option|choice|letter|label|number)\b:?)*",
    re.IGNORECASE,
)
_CLOSERS = re.compile(r"[*_`\"')\]}$]*")
_REFUSES = re.compile(r"(?:not|neither|either|none|both)\b", re.IGNORECASE)
_EXPLAINED = re.compile(r"\s*(?:[.;:!,()\u2013\u2014-]|(?:because|since|as|which|for)\b)", re.IGNORECASE)
_BEFORE = re.compile(r"(?:[.,;!\u2013\u2014-](?=\s|$)|[\s:*_`\"'()\[\]{}$])+")
_AFTER = " .,;:!*_`\"'()[]{}$-\u2013\u2014"
_CONFIRMED = re.compile(r"\s*is (?:the )?(?:correct|right|best)\b", re.IGNORECASE)
_LONGEST = 400
"""Characters after a marker that are looked at, and of a last line or a whole reply."""
_MARKERS = 50
"""Statements that are looked at, from the last one back."""


def score(sample: Sample, response: Response) -> Score:
    """Both metrics, and `format_compliance`: the last line is as asked. The answer shown is the flexible one.

    The headline `value` is letter_flexible.
    Brackets of a label, "(A)", are no part of it.
    """
    sample = replace(sample, labels=tuple(map(_bare, sample.labels)), target=_bare(sample.target))
    strict = final_line(response.text, sample.labels)
    found = strict if strict is not None else stated(response.text, sample)
    metrics = {
        "letter_strict": float(strict == sample.target),
        "letter_flexible": float(found == sample.target),
        "format_compliance": float(strict is not None),
    }
    how = "the last line" if strict is not None else "found in the text" if found is not None else "no clear choice"
    return Score(value=metrics["letter_flexible"], answer=found, explanation=how, metrics=metrics)


def _bare(label: str) -> str:
    return label.strip("()")


def final_line(text: str, labels: Sequence[str]) -> str | None:
    """The label of a last line "Answer: X"; None of anything else."""
    line = _MATHS.sub("$", text.strip().rpartition("\n")[2])
    if len(line) > _LONGEST:
        return None
    pattern = rf"[\s*_`#>]*answer[*_`]*\s*:[\s*_`(\[$]*({_either(labels)})[\s*_`)\]$]*\.?[\s*_`)\]$]*"
    match = re.fullmatch(pattern, line, re.IGNORECASE)
    return _named(match.group(1), labels) if match else None


def stated(text: str, sample: Sample) -> str | None:
    """The label that the last readable statement chooses; None where there is none, or where it is not clear."""
    text = _MATHS.sub("$", text)
    for marker in list(_MARKER.finditer(text))[: -_MARKERS - 1 : -1]:
        clear, label = _read(text[marker.end() : marker.end() + _LONGEST], sample)
        if not clear or label is not None:
            return label
    reply = text.strip()
    # Without a marker "1. First, ..." is the beginning of a list, not choice 1.
    return None if "\n" in reply or len(reply) > _LONGEST else _read(reply, sample, may_explain=False)[1]


def _read(rest: str, sample: Sample, *, may_explain: bool = True) -> tuple[bool, str | None]:
    """(clear, label) of what follows a marker; (False, None) chooses nothing on purpose or contradicts itself."""
    lead = _LEAD.match(rest)
    line = rest[lead.end() if lead else 0 :].split("\n", 1)[0]
    whole = rest.lstrip().split("\n", 1)[0]  # what leads to a label may begin a choice: "The number of ..."
    choices = list(zip(sample.labels, sample.choices, strict=True))
    meant = {label for label, choice in choices if _same(line, choice) or _same(whole, choice)}
    if _REFUSES.match(line):  # "none of the above" may be a choice
        return len(meant) == 1, meant.pop() if len(meant) == 1 else None
    found = re.match(rf"({_either(sample.labels)})(?!\w|[.,]\d)", line, re.IGNORECASE)
    if found is None:
        return len(meant) < 2, meant.pop() if len(meant) == 1 else None
    label, after = _named(found.group(1), sample.labels), line[found.end() :]
    closers = _CLOSERS.match(after)
    tail = after[closers.end() if closers else 0 :]
    bare = not _plain(tail)
    if meant and not bare:
        return len(meant) == 1, meant.pop() if len(meant) == 1 else None  # a choice's text that begins like a label
    if meant - {label} or _joined(tail, sample.labels):
        return False, None  # "the answer is 2" where 2 is another choice's text, "A or B"
    written = {other for other, choice in choices if _same(tail, choice)}
    if written:
        return label in written, label if label in written else None
    follows = _CONFIRMED.match(tail) or (may_explain and (_EXPLAINED.match(tail) or _EXPLAINED.match(after)))
    return True, label if bare or (follows and found.group(1) == label) else None


def _either(labels: Sequence[str]) -> str:
    return "|".join(re.escape(label) for label in sorted(labels, key=len, reverse=True))


def _named(written: str, labels: Sequence[str]) -> str:
    return next(label for label in labels if label.lower() == written.lower())


def _joined(tail: str, labels: Sequence[str]) -> bool:
    """Whether another label follows: "A or B", "A, C", "1/2", "A-C"."""
    link = r"\s*(?:,|/|&|\+|-|or\b|and\b|to\b|,\s*(?:or|and)\b)[\s*_`\"'(\[]*(?:option |choice )?"
    return re.match(rf"{link}(?:{_either(labels)})(?!\w)", tail) is not None


def _same(written: str, choice: str) -> bool:
    """Whether two texts differ in case, blanks, marks around them and a final full stop only."""
    return bool(_plain(written)) and _plain(written) == _plain(choice)


def _plain(text: str) -> str:
    text = _MATHS.sub("$", text)
    # A minus or a point straight before a digit belongs to the number.
    start = _BEFORE.match(text)
    bare = text[start.end() if start else 0 :].rstrip(_AFTER)
    return " ".join(bare.split()).lower()
