"""Labels in generated text: what is a choice, and what is not clear enough to be one."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorers.hostile import hostile_texts
from support import flat_response
from wattrack.schema import Response, Sample
from wattrack.scorers.letter import final_line, score, stated

CITIES = ("Oslo", "Rome", "Paris", "A dog")


def sample(*choices: str, labels: str = "ABCDE", target: int = 0) -> Sample:
    names = tuple(labels[: len(choices)])
    return Sample(id="q", question="?", target=names[target], choices=choices, labels=names)


def response(text: str) -> Response:
    return flat_response(sample_id="q", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1)


GOLDEN = [
    # text, strict, flexible
    ("Answer: B", "B", "B"),
    ("Reasons.\nAnswer: B", "B", "B"),
    ("Answer: A\nNo, wait.\nAnswer: B.", "B", "B"),
    ("**Answer: B**", "B", "B"),
    ("**Answer:** **B**", "B", "B"),
    ("answer : (b)", "B", "B"),
    ("### Answer: B\n\n", "B", "B"),
    ("Answer: B\nI hope this helps.", None, "B"),
    ("Answer: B\nI hope this answer is helpful.", None, "B"),
    ("Answer: B. Rome", None, "B"),
    ("Answer: B) Rome", None, "B"),
    ("Answer: Rome", None, "B"),
    ("The answer is **Rome**.", None, "B"),
    ("So the answer is B.", None, "B"),
    ("So the correct answer is (B), because it is old.", None, "B"),
    ("The correct option is B since Rome is old", None, "B"),
    ("The answer is option B", None, "B"),
    ("The answer is: **B) Rome**", None, "B"),
    ("The answer is $\\boxed{\\text{B}}$.", None, "B"),
    ("\\boxed{B}", None, "B"),
    ("Reasons.\nAnswer: \\(\\boxed{B}\\)", None, "B"),
    ("Reasons.\nAnswer: \\( B \\)", "B", "B"),
    ("The correct answer is \\(\\boxed{\\text{B}}\\).", None, "B"),
    ("At first sight the answer is A.\nBut no:\n\\[ \\boxed{B} \\]", None, "B"),
    ("The answer is \\(A\\) or \\(B\\).", None, None),
    ("B", None, "B"),
    ("(B)", None, "B"),
    ("b.", None, "B"),
    ("**B. Rome**", None, "B"),
    ("Rome", None, "B"),
    ("B is correct", None, "B"),
    ("The answer is a dog.", None, "D"),
    ("Answer: A dog", None, "D"),
    ("The answer is A. Wait, the answer is B.", None, "B"),
    ("Answer: X\nThe answer is B.", None, "B"),
    ("The answer is either A or B.\nThe answer is B.", None, "B"),
    # nothing to be sure of
    ("", None, None),
    (" \n", None, None),
    ("Answer:", None, None),
    ("Answer: X", None, None),
    ("Answer: E", None, None),
    ("Answer: A or B", None, None),
    ("Answer: A, B", None, None),
    ("Answer: A, B are both right", None, None),
    ("Answer: A and C", None, None),
    ("Answer: A/B", None, None),
    ("Answer: B. Oslo", None, None),
    ("Answer: Apple", None, None),
    ("The answer is A small town", None, None),
    ("The answer is B. No: the answer is not B.", None, None),
    ("The answer is none of these.", None, None),
    ("A is Oslo, B is Rome.", None, None),
    ("Oslo or Rome", None, None),
    ("A man asked. I do not know.", None, None),
    ("I think B", None, None),
    ("Both A and B could be right", None, None),
]


@pytest.mark.parametrize(("text", "strict", "flexible"), GOLDEN)
def test_golden_rows(text: str, strict: str | None, flexible: str | None) -> None:
    asked = sample(*CITIES, target=1)
    verdict = score(asked, response(text))
    assert final_line(text, asked.labels) == strict
    assert verdict.answer == flexible
    assert verdict.metrics == {
        "letter_strict": strict == "B", "letter_flexible": flexible == "B", "format_compliance": strict is not None,
    }  # fmt: skip


NUMBERED = [
    ("Answer: 2", "2"),
    ("Answer: 2.", "2"),
    ("The answer is (2).", "2"),
    ("The answer is 2.", None),  # choice 3 reads "2": which of them is meant?
    ("The answer is 2.5", None),
    ("The answer is -2", None),
    ("Answer: 12", None),
    ("Answer: 1/2", None),
    ("1. First, we note that ...", None),
    ("The answer is .2", None),
    ("The answer is 3 - 2", None),
    ("The answer is 3: 2", "3"),
    ("The answer is 3: 7", None),
]


@pytest.mark.parametrize(("text", "label"), NUMBERED)
def test_labels_that_are_numbers(text: str, label: str | None) -> None:
    asked = sample("7", "9", "2", labels="1234")
    expected = None if text == "The answer is (2)." else label  # brackets do not say which is meant either
    assert score(asked, response(text)).answer == expected


def test_choices_that_read_like_labels() -> None:
    blood = sample("B", "AB", "O", "A")
    assert score(blood, response("Answer: A")).answer == "A"  # the form that was asked for
    assert stated("The type is known, so the answer is AB.", blood) == "B"
    assert stated("So the answer is A.", blood) is None


WORDED = ("Wrong, Not wrong", "Not wrong, Wrong", "None of the above", "The number of cells", "Both \\(x\\) and y")


@pytest.mark.parametrize("choice", WORDED)
def test_a_choice_may_begin_with_what_leads_to_a_label_or_denies_one(choice: str) -> None:
    text = f"Reasons.\nThe correct answer is: {choice}."
    assert stated_of(text) == "ABCDE"[WORDED.index(choice)]
    assert stated_of("The answer is not B.") is None and stated_of("The answer is none of these.") is None


def stated_of(text: str) -> str | None:
    return score(sample(*WORDED), response(text)).answer


def test_equal_choices_are_told_apart_by_label_only() -> None:
    twice = sample("Oslo", "Oslo", "Rome")
    assert stated("The answer is Oslo", twice) is None
    assert stated("The answer is B. Oslo", twice) == "B"


@given(st.integers(3, 5), st.integers(0, 4), st.sampled_from(["ABCDE", "12345"]), st.text(max_size=40))
def test_the_required_form_is_always_read(count: int, right: int, labels: str, before: str) -> None:
    right = min(right, count - 1)
    asked = sample(*(f"choice number {n}" for n in range(count)), labels=labels, target=right)
    assert score(asked, response(f"{before}\nAnswer: {labels[right]}")).value == 1
    wrong = labels[(right + 1) % count]
    assert score(asked, response(f"{before}\nAnswer: {wrong}")).value == 0


@given(st.text())
def test_a_choice_is_one_of_the_labels(text: str) -> None:
    assert score(sample(*CITIES), response(text)).answer in {*"ABCD", None}


def test_hostile_texts_take_no_time() -> None:
    started = time.process_time()
    asked = sample(*CITIES)
    texts = [*hostile_texts(200), "answer: " * 20_000, "Answer: A" + "*" * 60_000 + "x", "answer" + " " * 60_000]
    for text in texts:
        assert score(asked, response(text)).answer in {*"ABCD", None}
    assert time.process_time() - started < 3
