"""Multiple choice by log-probability."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import flat_response
from wattrack.errors import ConfigError, ScoringError
from wattrack.schema import Response, Sample
from wattrack.scorers.choice import best, margin, score


def response(*logprobs: float, error: str | None = None) -> Response:
    return flat_response(
        sample_id="q", repeat=0, text="", finish_reason="stop", input_tokens=1, output_tokens=0, logprobs=logprobs,
        error=error,
    )  # fmt: skip


def sample(target: str, *choices: str) -> Sample:
    return Sample(id="q", question="?", target=target, choices=choices, labels=tuple("ABCDE"[: len(choices)]))


GOLDEN = [
    # choices, log-probabilities, target, (acc, acc_norm, acc_bytes), (answer by acc, answer by acc_norm)
    (("a", "b"), (-1.0, -2.0), "A", (1, 1, 1), ("A", "A")),
    (("a", "b"), (-1.0, -2.0), "B", (0, 0, 0), ("A", "A")),
    (("ab", "abcdefgh"), (-2.0, -3.0), "A", (1, 0, 0), ("A", "B")),  # -1 and -0.375 per character
    (("ab", "abcdefgh"), (-2.0, -3.0), "B", (0, 1, 1), ("A", "B")),
    (("ab", "cd"), (-2.0, -2.0), "A", (1, 1, 1), ("A", "A")),  # a tie goes to the first
    (("ab", "cd"), (-2.0, -2.0), "B", (0, 0, 0), ("A", "A")),
    (("abc", "ab", "cd"), (-9.0, -2.0, -2.0), "B", (1, 1, 1), ("B", "B")),
    (("ab", "abcd"), (-2.0, -4.0), "A", (1, 1, 1), ("A", "A")),  # a tie per character only
    (("abcd", "üü"), (-3.0, -2.2), "B", (1, 0, 1), ("B", "A")),  # characters: -0.75, -1.1; bytes: -0.75, -0.55
    ((" a", "b"), (-1.5, -1.0), "A", (0, 1, 1), ("B", "A")),  # a blank that belongs to the choice is counted
    (("a", "b", "c"), (-5.0, -4.0, -3.0), "C", (1, 1, 1), ("C", "C")),
    (("a", "b", "c", "d", "e"), (-5.0, -1.0, -3.0, -4.0, -2.0), "B", (1, 1, 1), ("B", "B")),
    (("a", "b"), (0.0, -0.0), "A", (1, 1, 1), ("A", "A")),
    (("a", "b"), (-math.inf, -800.0), "B", (1, 1, 1), ("B", "B")),
    (("a", "b"), (-math.inf, -math.inf), "A", (1, 1, 1), ("A", "A")),
]


@pytest.mark.parametrize(("choices", "logprobs", "target", "right", "answers"), GOLDEN)
def test_golden_rows(
    choices: tuple[str, ...],
    logprobs: tuple[float, ...],
    target: str,
    right: tuple[int, int, int],
    answers: tuple[str, str],
) -> None:
    asked = sample(target, *choices)
    verdict = score(asked, response(*logprobs), by="acc_norm", normalised=True)
    assert verdict.metrics == dict(zip(("acc", "acc_norm", "acc_bytes"), right, strict=True))
    assert (verdict.answer, verdict.value) == (answers[1], right[1])
    bare = score(asked, response(*logprobs))
    assert bare.metrics == {"acc": right[0]}
    assert (bare.answer, bare.value) == (answers[0], right[0])


def test_the_explanation_shows_what_decided() -> None:
    asked = sample("B", "ab", "abcdefgh")
    assert score(asked, response(-2.0, -3.0)).explanation == "log-probabilities A -2.000, B -3.000; margin 1.000"
    normed = score(asked, response(-2.0, -3.0), by="acc_norm", normalised=True).explanation
    assert "per character A -1.000, B -0.375; margin 1.000" in normed


def test_a_failed_or_broken_answer_is_wrong_and_has_no_answer() -> None:
    failed = score(sample("A", "a", "b"), response(error="too long"), normalised=True)
    broken = score(sample("A", "a", "b"), response(math.nan, -1.0), normalised=True)
    for verdict in (failed, broken):
        assert (verdict.value, verdict.answer) == (0.0, None)
        assert verdict.metrics == {"acc": 0.0, "acc_norm": 0.0, "acc_bytes": 0.0}
    assert broken.explanation == "a log-probability is not a number"


def test_answers_to_another_question_are_refused() -> None:
    with pytest.raises(ScoringError, match="q: 3 log-probabilities for 2 choices"):
        score(sample("A", "a", "b"), response(-1, -2, -3))
    with pytest.raises(ScoringError, match="q: 0 log-probabilities for 2 choices"):
        score(sample("A", "a", "b"), response())


def test_deciding_by_what_is_not_computed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"scorer\.by=acc_norm: must be one of acc"):
        score(sample("A", "a", "b"), response(-1, -2), by="acc_norm")


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [((-1.0, -3.0), 2.0), ((-3.0, -1.0, -1.5), 0.5), ((-2.0, -2.0), 0.0), ((-1.0,), None), ((), None),
     ((-math.inf, -math.inf), None), ((-1.0, -math.inf), None)],
)  # fmt: skip
def test_margin(logprobs: tuple[float, ...], expected: float | None) -> None:
    assert margin(logprobs) == expected


@given(st.lists(st.floats(max_value=0, allow_nan=False), min_size=2, max_size=6), st.data())
def test_one_choice_is_right_and_the_margin_is_never_negative(values: list[float], data: st.DataObject) -> None:
    texts = data.draw(st.lists(st.text(min_size=1), min_size=len(values), max_size=len(values)))
    labels = "ABCDEF"[: len(values)]
    verdicts = [
        score(Sample(id="q", question="?", target=t, choices=tuple(texts), labels=tuple(labels)), response(*values))
        for t in labels
    ]
    assert sum(v.value for v in verdicts) == 1.0
    assert verdicts[best(values)].value == 1.0
    gap = margin(values)
    assert gap is None or gap >= 0


def test_mmlu_adds_the_category_of_the_subject() -> None:
    from dataclasses import replace

    from wattrack.tasks import mmlu

    asked = sample("A", "a", "b")
    found = {
        subject: mmlu.score(replace(asked, group=subject), response(-1, -2)).metrics
        for subject in ("college_physics", "anatomy", "sociology", "prehistory", "basket_weaving", None)
    }
    assert found == {
        "college_physics": {"acc": 1.0, "acc_stem": 1.0},
        "anatomy": {"acc": 1.0, "acc_other": 1.0},
        "sociology": {"acc": 1.0, "acc_social_sciences": 1.0},
        "prehistory": {"acc": 1.0, "acc_humanities": 1.0},
        "basket_weaving": {"acc": 1.0},
        None: {"acc": 1.0},
    }
    failed = mmlu.score(replace(asked, group="anatomy"), response(error="too long"))
    assert failed.metrics == {"acc": 0.0, "acc_other": 0.0}
