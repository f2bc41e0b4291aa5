"""Checks on free text, each with texts that pass and texts that do not."""

import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.hostile import hostile_texts
from support import flat_response
from wattrack.schema import Response, Sample
from wattrack.scorers.checks import passes, problem, score

GOLDEN: list[tuple[str, object, str, bool]] = [
    ("exact", "Ada", "**ada**.", True),
    ("exact", "Ada", "Ada Ben", False),
    ("number", 48, "240 / 5 = 48 minutes", True),
    ("number", "0.6", "It costs $0.60.", True),
    ("number", 48, "48 or 49", False),
    ("number", 48, "forty-eight", False),
    ("contains", ["ice", "hot  water"], "ICE and\nhot water", True),
    ("contains", ["ice"], "rice", False),
    ("contains", ["a", "b"], "a", False),
    ("contains", ["5/14"], "so 5/14.", True),
    ("contains", ["5/14"], "15/14", False),
    ("contains_any", ["steam", "vapour"], "vapour", True),
    ("contains_any", ["steam", "vapour"], "air", False),
    ("excludes", ["blue"], "bluebell", True),
    ("excludes", ["blue"], "Blue.", False),
    ("regex", ["^a", "z$"], "a to z", True),
    ("regex", ["^a", "z$"], "a to y", False),
    ("words", {"min": 2, "max": 3}, "one two  three", True),
    ("words", {"min": 2, "max": 3}, "one", False),
    ("words", {"max": 3}, "one two three four", False),
    ("lines", {"min": 2, "max": 2}, "a\n\n a ", True),
    ("lines", {"min": 2, "max": 2, "distinct": True}, "a\n\n A. ", False),
    ("lines", {"max": 1}, "a\nb", False),
    ("sentences", {"min": 2, "max": 2}, "It rains. Dr. Low is wet.", True),
    ("sentences", {"min": 2, "max": 2}, "It rains.", False),
    ("initials", "wat", "Wires\n- all\n\n'Tis", True),
    ("initials", "wat", "Wires\nall\nThe\nEnd", False),
    ("schema", {"type": "array"}, "Here: [1]", True),
    ("schema", {"type": "array"}, '{"a": 1}', False),
    ("schema", {"type": "array"}, "[1", False),
]


@pytest.mark.parametrize(("kind", "argument", "text", "expected"), GOLDEN)
def test_golden_rows(kind: str, argument: object, text: str, expected: bool) -> None:
    assert problem(kind, argument) is None
    assert passes(text, kind, argument) is expected
    assert not passes(" \n", kind, argument)


BAD: list[tuple[str, object]] = [
    ("nope", 1), ("exact", ""), ("exact", "."), ("number", "many"), ("number", None), ("contains", []),
    ("contains", "a"), ("contains", [""]), ("excludes", [1]), ("regex", ["("]), ("regex", ["a*"]), ("words", {}),
    ("words", {"min": 1}), ("words", {"min": 0}), ("words", {"min": 5, "max": 4}), ("words", {"most": 3}),
    ("lines", {"distinct": True}), ("schema", {}), ("schema", {"type": "nonsense"}), ("initials", ""),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "argument"), BAD)
def test_a_check_that_is_none_or_always_passes_is_refused(kind: str, argument: object) -> None:
    assert problem(kind, argument)


def _response(text: str) -> Response:
    return flat_response(sample_id="q", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1)


def test_without_checks_nothing_is_scored() -> None:
    verdict = score(Sample(id="q", question="?", target=""), _response("hello"))
    assert math.isnan(verdict.value)
    assert (verdict.metrics, verdict.answer) == ({}, "hello")


def test_all_and_share_and_the_category() -> None:
    sample = Sample(
        id="q", question="?", target="", group="reasoning", data={"checks": {"words": {"max": 2}, "number": 4}}
    )
    assert score(sample, _response("4")).metrics == {"checks_all": 1, "checks_share": 1, "checks_reasoning": 1}
    half = score(sample, _response("it is 4"))
    assert half.metrics == {"checks_all": 0, "checks_share": 0.5, "checks_reasoning": 0}
    assert half.explanation == "failed: words"


@given(st.text())
def test_any_text_is_judged(text: str) -> None:
    for kind, argument, _, _ in GOLDEN:
        assert passes(text, kind, argument) in (True, False)


def test_hostile_texts_take_no_time() -> None:
    started = time.process_time()
    for text in hostile_texts(30):
        for kind, argument in {kind: argument for kind, argument, _, _ in GOLDEN}.items():
            passes(text, kind, argument)
    assert time.process_time() - started < 3
