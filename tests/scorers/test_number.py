"""Numeric extraction and comparison."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import flat_response
from wattrack.schema import Response, Sample
from wattrack.scorers.number import last_number, number_after, parse, score


def response(text: str) -> Response:
    return flat_response(sample_id="q", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1)


GOLDEN = [
    # output, target, strict, flexible, answer
    ("3*4 = 12\n#### 12", "12", 1, 1, "12"),
    ("#### 12\nso 12 apples, not 13", "12", 1, 0, "12"),
    ("It is $29.00. #### $29.00", "29", 1, 1, "$29.00"),
    ("#### 1,234", "1234", 1, 1, "1,234"),
    ("#### 5\n#### 7", "7", 1, 1, "7"),  # the last marker counts
    ("#### 5\n#### 7", "5", 0, 0, "7"),
    ("the total is 18", "18", 0, 1, "18"),  # no marker
    ("10-3", "3", 0, 1, "3"),  # subtraction, not a negative number
    ("it fell to -3", "-3", 0, 1, "-3"),
    ("#### -3.50", "-3.5", 1, 1, "-3.50"),
    ("#### 12.", "12", 1, 1, "12"),
    ("#### twelve", "12", 0, 0, None),
    ("####", "12", 0, 0, None),
    ("####\n12", "12", 0, 1, "12"),  # the number must stand on the marker's line
    ("", "12", 0, 0, None),
    ("...", "12", 0, 0, None),
    ("$ , .", "12", 0, 0, None),
    ("#### 12 apples and 3 pears", "12", 1, 0, "12"),
    ("#### 0.50", "0.5", 1, 1, "0.50"),
    ("#### .5", "0.5", 1, 1, ".5"),
    ("a\u2028#### 9", "9", 1, 1, "9"),
    ("#### $70{,}000$", "70000", 1, 1, "$70,000"),
    ("It is \\(\\boxed{1{,}070{,}000}\\)", "1070000", 0, 1, "1,070,000"),
    ("#### 70,\\!000", "70000", 1, 1, "70,000"),
    ("#### 70\\,000", "70000", 1, 1, "70,000"),
    ("#### 70\u202f000", "70000", 1, 1, "70,000"),
    ("#### $12{,}500$", "500", 0, 0, "$12,500"),
    ("the pairs {1}{,}{200} and (3\\,4)", "4", 0, 1, "4"),
    ("#### 12\\,5000", "12", 1, 0, "12"),
]


@pytest.mark.parametrize(("text", "target", "strict", "flexible", "answer"), GOLDEN)
def test_golden_rows(text: str, target: str, strict: int, flexible: int, answer: str | None) -> None:
    verdict = score(Sample(id="q", question="?", target=target), response(text), marker="####")
    in_form = number_after(text, "####") is not None
    assert verdict.metrics == {
        "exact_match_strict": strict, "exact_match_flexible": flexible, "format_compliance": in_form,
    }  # fmt: skip
    assert verdict.answer == answer
    assert verdict.value == strict


def test_marker_ignores_case_and_takes_the_last() -> None:
    assert number_after("The answer is 3. Check: the ANSWER IS 4.", "The answer is") == "4"


@given(st.text(max_size=400))
def test_any_text_gets_a_verdict(text: str) -> None:
    verdict = score(Sample(id="q", question="?", target="7"), response(text), marker="####")
    assert set(verdict.metrics.values()) <= {0.0, 1.0}


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_a_written_number_is_read_back(value: Decimal) -> None:
    assert parse(f"{value:,}") == value
    found = last_number(f"the answer is {value:,}")
    assert found is not None
    assert parse(found) == value


@pytest.mark.parametrize("text", ["", "abc", "nan", "inf", "1.2.3", "--1"])
def test_not_a_number(text: str) -> None:
    assert parse(text) is None
