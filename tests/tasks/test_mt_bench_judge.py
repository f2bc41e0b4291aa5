"""MT-Bench's judge: what it is shown, and how its words become a grade."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import flat_response
from wattrack.prompts.turns import Turns
from wattrack.schema import Generation, Message, Sample
from wattrack.tasks.mt_bench_judge import MtBenchJudging, read_rating

JUDGING = MtBenchJudging(version=1)
SAMPLE = Sample(
    id="111", question="", target="", group="math",
    data={"turns": ["2 + 3?", "Twice that?"], "references": ["It is 5.", "It is 10."]},
)  # fmt: skip
FIRST, SECOND = Turns(max_new_tokens=9).turns(SAMPLE)
ANSWER = flat_response(
    sample_id="111-turn2", repeat=0, text="10", finish_reason="stop", input_tokens=1, output_tokens=1
)


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("Right and short. [[9]]", 9.0),
        ("Rating: [[ 10 ]]", 10.0),
        ("[[7.5]]", 7.5),
        ("[[3]] ... so [[3]]", 3.0),
        ("The scale ends at [[10]], so [[3]]", None),
        ("<think>perhaps [[2]]</think>[[8]]", 8.0),
        ("<think>perhaps [[2]]", None),
        ("[[0]]", None),
        ("[[11]]", None),
        ("[[-4]]", None),
        ("[[1e1]]", None),
        ("[[ten]]", None),
        ("[8]", None),
        ("8/10", None),
        ("[[8", None),
        ("[[]]", None),
        ("[[" + "9" * 5000 + "]]", None),
        ("", None),
    ],
)
def test_a_rating_is_one_number_in_double_brackets(text: str, rating: float | None) -> None:
    assert read_rating(text) == rating


@settings(max_examples=30)
@given(st.text() | st.text(alphabet="[]0123456789. -"))
def test_any_text_has_a_rating_in_range_or_none(text: str) -> None:
    rating = read_rating(text)
    assert rating is None or 1 <= rating <= 10


def test_what_the_judge_sees() -> None:
    first, second = JUDGING.request(FIRST, ["5"], 0), JUDGING.request(SECOND, ["5", "10"], 0)
    assert first.generation == Generation(max_new_tokens=2048, temperature=0.0)
    _, shown = (m.content for m in first.prompt if isinstance(m, Message))
    assert shown == (
        "<reference 1>\nIt is 5.\n</reference 1>\n\n<user 1>\n2 + 3?\n</user 1>\n\n<reply 1>\n5\n</reply 1>\n\n"
        "Grade reply 1."
    )
    told, shown = (m.content for m in second.prompt if isinstance(m, Message))
    assert [shown.index(text) for text in ("It is 5.", "It is 10.", "2 + 3?", "Twice that?", "Grade reply 2.")] == (
        sorted(shown.index(text) for text in ("It is 5.", "It is 10.", "2 + 3?", "Twice that?", "Grade reply 2."))
    )
    assert "last reply" in told and "reference" in told and "[[5]]" in told
    bare = replace(SECOND, data={**SECOND.data, "references": []})
    told, shown = (m.content for m in JUDGING.request(bare, ["5", "10"], 0).prompt if isinstance(m, Message))
    assert "reference" not in told + shown
    assert "{" not in told


# A changed wording needs a new `judging.version` in conf/dataset/mt_bench.yaml: change it and this line together.
def test_wording_and_version_move_together() -> None:
    assert JUDGING.sha256()[:8] == "5db7d20f"


@pytest.mark.parametrize(
    ("said", "value", "metrics"),
    [
        (
            "Good. [[10]]",
            1.0,
            {"mt_bench_parsed": 1.0, "mt_bench": 10.0, "mt_bench_turn2": 10.0, "mt_bench_math": 10.0},
        ),
        ("Bad. [[1]]", 0.0, {"mt_bench_parsed": 1.0, "mt_bench": 1.0, "mt_bench_turn2": 1.0, "mt_bench_math": 1.0}),
        ("Hm.", None, {"mt_bench_parsed": 0.0}),
    ],
)
def test_grades(said: str, value: float | None, metrics: dict[str, float]) -> None:
    grade = JUDGING.grade(SECOND, ANSWER, replace(ANSWER, text=said))
    assert grade.metrics == metrics
    assert math.isnan(grade.value) if value is None else grade.value == value
    assert said in grade.explanation


def test_a_failed_answer_has_the_lowest_rating_and_a_failed_judge_none() -> None:
    failed = replace(ANSWER, text="", finish_reason="error", error="too long", error_kind="too_long")
    assert JUDGING.grade(FIRST, failed, None).value == 0.0
    assert JUDGING.grade(FIRST, failed, None).metrics == {"mt_bench": 1.0, "mt_bench_turn1": 1.0, "mt_bench_math": 1.0}
    grade = JUDGING.grade(FIRST, ANSWER, failed)
    assert math.isnan(grade.value)
    assert grade.metrics == {"mt_bench_parsed": 0.0}
    assert "the judge failed: too long" in grade.explanation
