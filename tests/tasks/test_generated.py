"""Datasets whose rows are made by a function: number words against known spellings, and texts for measuring speed."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import Compose, flat_response
from wattrack.errors import ConfigError
from wattrack.schema import Request, Response, Sample
from wattrack.settings import build, checks
from wattrack.tasks import perf
from wattrack.tasks.number_words import LARGEST, in_words, rows

SPELLED = {
    0: "zero", 7: "seven", 13: "thirteen", 20: "twenty", 42: "forty-two", 100: "one hundred", 101: "one hundred one",
    215: "two hundred fifteen", 990: "nine hundred ninety", 1000: "one thousand", 1001: "one thousand one",
    4096: "four thousand ninety-six", 9999: "nine thousand nine hundred ninety-nine", 10_000: "ten thousand",
}  # fmt: skip
SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
VALUES = {word: n for n, word in enumerate(SMALL.split())} | {word: 10 * n for n, word in enumerate(TENS.split(), 2)}


@pytest.mark.parametrize(("number", "words"), SPELLED.items())
def test_numbers_in_words(number: int, words: str) -> None:
    assert in_words(number) == words


@given(st.integers(0, LARGEST))
def test_words_mean_their_number(number: int) -> None:
    total = part = 0
    for word in in_words(number).replace("-", " ").split():
        if word == "thousand":
            total, part = total + part * 1000, 0
        else:
            part = part * 100 if word == "hundred" else part + VALUES[word]
    assert total + part == number


def answered(sample: Sample, text: str) -> Response:
    return flat_response(
        sample_id=sample.id, repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1
    )


def test_the_last_number_of_an_answer_counts(composed: Compose) -> None:
    assert len({row["words"] for _, row in rows()}) == LARGEST + 1
    task = build.task(composed("dataset=number_words", "dataset.order=file"))
    samples, facts = task.samples(None, 0)
    assert (facts.rows, facts.source) == (10_001, "generated")
    sample = samples[8012]
    assert sample.question == "eight thousand twelve"
    for text, value in [
        ("8012", 1), ("8,012", 1), ("8 thousand and 12 is 8,012.", 1), ("The answer is 8012", 1),
        ("8012, not 812", 0), ("8 012", 0), ("eight thousand twelve", 0), ("", 0),
    ]:  # fmt: skip
        assert task.score(sample, answered(sample, text)).value == value, text


def test_perf_asks_for_exact_lengths_and_scores_nothing(composed: Compose) -> None:
    task = build.task(composed("dataset=perf", "dataset.protocols.fixed.prompt.prompt_tokens=7"))
    questions = task.questions(None, 0, 1)
    assert questions.facts.rows == perf.TEXTS
    assert len({str(r.prompt).split()[0] for r in questions.requests if isinstance(r, Request)}) == perf.TEXTS
    for request in questions.requests:
        assert isinstance(request, Request)
        assert (request.prompt_tokens, request.generation.fixed_length) == (7, True)
    verdict = task.score(questions.samples[0], answered(questions.samples[0], "ribbon"))
    assert math.isnan(verdict.value)
    assert verdict.metrics == {}
    longer = build.task(composed("dataset=perf"))
    assert longer.prompt.sha256() != task.prompt.sha256()


def test_texts_of_ones_own_replace_generated_rows(composed: Compose, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Sing.\nDance.\n", "utf-8")
    task = build.task(composed("dataset=perf", f"dataset.data_dir={tmp_path}", "dataset.order=file"))
    assert [s.question for s in task.samples(None, 0)[0]] == ["Sing.", "Dance."]


REFUSED = [
    ("dataset.protocols.fixed.prompt.prompt_tokens=0", r"prompt_tokens=0: must be 1 or more"),
    (
        "dataset.protocols.fixed.prompt._target_=wattrack.prompts.chat.Chat",
        r"prompt_tokens: .* Chat takes: max_new_tok",
    ),
    ("dataset.protocols.fixed.prompt.prompt_tokens=many", r"prompt_tokens: expected a whole number, got 'many'"),
    ("dataset.protocols.fixed.prompt.fixed_length=1", r"fixed_length: expected true or false, got 1"),
    ("dataset.protocols.fixed.prompt.stop=x", r"stop: expected a list of texts, got 'x'"),
    ("dataset.protocols.fixed.prompt.temperature=-1", r"temperature=-1: must be 0 or more"),
    ("dataset.protocols.fixed.prompt.top_p=0", r"top_p=0: must be more than 0"),
    ("dataset.protocols.fixed.prompt._target_=wattrack.prompts.Chat", r"prompt\._target_=wattrack\.prompts\.Chat: "),
    ("dataset.protocols.fixed.prompt.stop=[x]", r"fixed_length: only .* without stop strings"),
    ("dataset.protocols.fixed.prompt.max_new_tokens=0", r"max_new_tokens=0: must be 1 or more"),
    ("dataset.protocols.fixed.prompt.prompt_tokens_stddev=-1", r"prompt_tokens_stddev=-1: must be 0 or more"),
    ("dataset.protocols.fixed.prompt.max_new_tokens_stddev=inf", r"max_new_tokens_stddev=inf: must be 0 or more"),
    ("dataset.protocols.fixed.prompt.max_new_tokens_stddev=nan", r"max_new_tokens_stddev=nan: must be 0 or more"),
]


@pytest.mark.parametrize(("override", "message"), REFUSED)
def test_lengths_that_cannot_be_exact_are_refused(composed: Compose, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checks.check(composed("dataset=perf", override))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("prompt_tokens_stddev", r"prompt_tokens_stddev=5: needs prompt_tokens"),
        ("max_new_tokens_stddev", r"max_new_tokens_stddev=5: needs fixed_length"),
    ],
)
def test_lengths_that_are_not_exact_cannot_be_drawn(composed: Compose, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        checks.check(composed("dataset=prompts", "dataset.protocol=base", f"dataset.protocols.base.prompt.{name}=5"))


def test_repeats_of_a_text_are_other_prompts(composed: Compose) -> None:
    requests = build.task(composed("dataset=perf")).questions(2, 0, 3).requests
    prompts = [r.prompt for r in requests if isinstance(r, Request)]
    assert len({str(prompt) for prompt in prompts}) == 6
    assert len({tuple(sorted(str(prompt).split())) for prompt in prompts}) == 2
