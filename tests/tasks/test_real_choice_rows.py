"""The published rows of the four choice datasets, read in place where they are: all convert, chance is chance."""

from collections import Counter
from pathlib import Path

import pytest

from support import CHECKOUT, Compose, flat_response
from wattrack.prompts.choices import Choices
from wattrack.schema import ChoiceRequest, Response, Sample
from wattrack.settings import build, checks
from wattrack.tasks.task import Questions, Task

DATA = CHECKOUT.parent / "shared" / "data"
NAMES = {"arc_challenge": 1172, "hellaswag": 10042, "mmlu": 14042, "winogrande": 1267}

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the published rows are not beside the checkout")


def task(composed: Compose, name: str, *overrides: str) -> Task:
    cfg = composed(f"dataset={name}", f"dataset.data_dir={DATA / name}", *overrides)
    checks.check(cfg)
    return build.task(cfg)


def contexts(questions: Questions) -> list[str]:
    assert all(isinstance(r, ChoiceRequest) for r in questions.requests)
    return [c.context for r in questions.requests if isinstance(r, ChoiceRequest) for c in r.candidates]


@pytest.mark.parametrize("name", NAMES)
def test_every_row_becomes_a_question(composed: Compose, name: str, caplog: pytest.LogCaptureFixture) -> None:
    questions = task(composed, name, "dataset.protocol=base0").questions(None, 0, 1)
    assert len(questions.requests) == questions.facts.rows == NAMES[name]
    assert not caplog.records, "as many rows as the publisher states"
    assert all(text and text == text.rstrip() for text in contexts(questions))
    for request in questions.requests:
        assert isinstance(request, ChoiceRequest)
        assert all(c.continuation.startswith(" ") and c.continuation.strip() for c in request.candidates)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_choice_scores_its_share_and_the_right_one_scores_1(composed: Compose, name: str) -> None:
    asked = task(composed, name, "dataset.protocol=base0")
    samples, _ = asked.samples(None, 0)

    def answered(number: int, best: int) -> Response:
        count = len(samples[number].choices)
        logprobs = tuple(-1e6 * (i != min(best, count - 1)) - 1 for i in range(count))
        return flat_response(
            sample_id="", repeat=0, text="", finish_reason="stop", input_tokens=1, output_tokens=0, logprobs=logprobs
        )

    shares = Counter(s.labels.index(s.target) for s in samples)
    for place in range(len(samples[0].choices)):
        right = sum(asked.score(s, answered(n, place)).value for n, s in enumerate(samples))
        fewer = sum(s.labels.index(s.target) == len(s.choices) - 1 < place for s in samples)
        assert right == shares[place] + fewer, f"always choice {place + 1}, or the last of fewer"
        assert right / len(samples) == pytest.approx(1 / len(samples[0].choices), abs=0.03)
    assert all(asked.score(s, answered(n, s.labels.index(s.target))).value == 1 for n, s in enumerate(samples))


@pytest.mark.parametrize(("name", "count"), [("arc_challenge", 25), ("hellaswag", 10), ("mmlu", 5), ("winogrande", 5)])
def test_shots_are_fixed_complete_and_not_what_is_asked(composed: Compose, name: str, count: int) -> None:
    asked = task(composed, name)
    questions = asked.questions(40, 0, 1)
    prompt = questions.prompt
    assert isinstance(prompt, Choices)
    shots = prompt.examples
    every, _ = asked.samples(None, 0)
    assert set(shots) == {s.group for s in every}
    assert {len(group) for group in shots.values()} == {count}
    texts = {(s.group, s.question) for s in every}
    assert not any((s.group, s.question) in texts for group in shots.values() for s in group)
    assert asked.questions(3, 5, 1).prompt.sha256() == prompt.sha256()
    zero = task(composed, name, "dataset.protocol=base0").questions(40, 0, 1)
    assert [s.id for s in zero.samples] == [s.id for s in questions.samples]
    for short, long in zip(contexts(zero), contexts(questions), strict=True):
        assert long.endswith(short.split("\n\n", 1)[-1])


def test_mmlu_is_drawn_from_every_subject_alike(composed: Compose) -> None:
    samples, _ = task(composed, "mmlu").samples(570, 0)
    assert len({s.group for s in samples}) == 57


def test_every_published_mmlu_subject_has_a_category() -> None:
    from wattrack.tasks.mmlu import CATEGORIES
    from wattrack.tasks.rows import local_rows

    subjects = {row["subject"] for _, row in local_rows(Path(DATA / "mmlu" / "dev.jsonl"))}
    assert subjects == {subject for named in CATEGORIES.values() for subject in named}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_written_choices_are_read_in_every_row(composed: Compose, name: str) -> None:
    asked = task(composed, name, "dataset.protocol=chat")
    samples, _ = asked.samples(None, 0)

    def value(sample: Sample, text: str) -> float:
        response = flat_response(
            sample_id="", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1
        )  # fmt: skip
        return asked.score(sample, response).value

    for sample in samples:
        position = sample.labels.index(sample.target)
        other = sample.labels[(position + 1) % len(sample.labels)]
        right = f"**({sample.target}) {sample.choices[position]}**"
        assert value(sample, f"Reasons.\nAnswer: {sample.target}") == value(sample, f"The answer is {right}.") == 1
        assert value(sample, f"Reasons.\nAnswer: {other}") == value(sample, sample.question) == 0
