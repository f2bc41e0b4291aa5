"""IFEval rows: what is refused, how instructions are pooled, and the 541 published prompts."""

import json

import pytest

from support import CHECKOUT, Compose, flat_response
from wattrack.errors import DatasetError
from wattrack.job.grading import references
from wattrack.results.summary import quality
from wattrack.schema import Record, Response
from wattrack.scorers.instructions import CHECKERS
from wattrack.settings import build
from wattrack.tasks.ifeval import score, to_sample

DATA = CHECKOUT.parent / "shared" / "data" / "ifeval"


def row(*instructions: tuple[str, dict[str, object]]) -> dict[str, object]:
    return {
        "key": 1,
        "prompt": "Say something.",
        "instruction_id_list": [name for name, _ in instructions],
        "kwargs": [given for _, given in instructions],
    }


def response(text: str, error: str | None = None) -> Response:
    finish = "error" if error else "stop"
    return flat_response(
        sample_id="q", repeat=0, text=text, finish_reason=finish, input_tokens=1, output_tokens=1, error=error
    )


def test_nulls_are_dropped_and_zero_is_kept() -> None:
    given = {"relation": "at least", "num_words": 0.0, "num_sentences": None}
    sample = to_sample("q", row(("length_constraints:number_words", given)))
    assert sample.data["instructions"] == [
        {"id": "length_constraints:number_words", "arguments": {"relation": "at least", "num_words": 0}}
    ]


WORDS = "length_constraints:number_words"
REFUSED: list[tuple[dict[str, object], str]] = [
    (row(("punctuation:no_colon", {})), "no such instruction: 'punctuation:no_colon'"),
    (row((WORDS, {"relation": "at least"})), "expected num_words, relation, got relation"),
    (row((WORDS, {"relation": "at least", "num_words": None})), "expected num_words, relation, got relation"),
    (
        row((WORDS, {"relation": "at most", "num_words": 3})),
        "relation must be 'less than' or 'at least', got 'at most'",
    ),
    (row((WORDS, {"relation": "at least", "num_words": "3"})), "num_words must be a number from 0, got '3'"),
    (row((WORDS, {"relation": "at least", "num_words": -3})), "num_words must be a number from 0"),
    (row((WORDS, {"relation": "at least", "num_words": True})), "num_words must be a number from 0"),
    (row(("punctuation:no_comma", {"num_words": 3})), "expected no arguments, got num_words"),
    (row(("keywords:existence", {"keywords": "cat"})), "keywords must be a list"),
    (row(("keywords:existence", {"keywords": []})), "keywords must be a list"),
    (row(("keywords:existence", {"keywords": ["cat", ""]})), "keywords must be a list"),
    (row(("startend:end_checker", {"end_phrase": ""})), "end_phrase must be a non-empty string"),
    (
        row(("keywords:letter_frequency", {"letter": "ab", "let_frequency": 1, "let_relation": "at least"})),
        "letter must be one character",
    ),
    ({"prompt": "x", "instruction_id_list": [], "kwargs": []}, "`instruction_id_list` must be a list"),
    ({"prompt": "x", "instruction_id_list": "a", "kwargs": []}, "`instruction_id_list` must be a list"),
    ({"prompt": "x", "instruction_id_list": ["punctuation:no_comma"], "kwargs": []}, "one object for each of 1"),
    ({"prompt": "x", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [3]}, "must be an object, got 3"),
    ({"prompt": " ", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}, "`prompt` must be"),
]


@pytest.mark.parametrize(("bad", "message"), REFUSED)
def test_malformed_rows_are_refused(bad: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError) as refusal:
        to_sample("q", bad)
    assert message in str(refusal.value)


TWO = row(("punctuation:no_comma", {}), ("startend:quotation", {}))


def test_a_prompt_counts_when_every_instruction_is_followed() -> None:
    verdict = score(to_sample("q", TWO), response('Here it is\n"hello"'))
    assert verdict.metrics == {
        "prompt_strict": 0,
        "prompt_loose": 1,
        "instruction_strict": 0.5,
        "instruction_loose": 1,
        "n_instructions": 2,
    }
    assert verdict.answer == "1 of 2 followed"
    assert verdict.explanation == "not followed: startend:quotation"


def _record(metrics: dict[str, float]) -> Record:
    return Record(
        id="q",
        repeat=0,
        question="",
        output="x",
        target="",
        answer=None,
        score=0.0,
        metrics=metrics,
        explanation="",
        group=None,
        finish_reason="stop",
        error=None,
        input_tokens=1,
        output_tokens=1,
        latency_s=None,
        ttft_s=None,
        batch_size=1,
        prompt_text="",
        started_unix_ms=0,
    )


def test_instructions_are_pooled_over_prompts_and_failures_stay_in_the_denominator(composed: Compose) -> None:
    task = build.task(composed("dataset=ifeval"))
    followed = task.score(to_sample("q", row(("punctuation:no_comma", {}))), response("hello"))
    failed = task.score(to_sample("q", row(*[("punctuation:no_comma", {})] * 3)), response("", error="too long"))
    assert failed.metrics == {**dict.fromkeys(followed.metrics, 0.0), "n_instructions": 3}
    found = quality([_record(dict(followed.metrics)), _record(dict(failed.metrics))])
    assert found["quality/instruction_strict"] == 1 / 4
    assert found["quality/prompt_strict"] == 1 / 2
    assert found["quality/n_instructions"] == 2


@pytest.mark.skipif(not DATA.is_dir(), reason="the published rows are not beside the checkout")
def test_every_published_prompt_becomes_a_question(composed: Compose, caplog: pytest.LogCaptureFixture) -> None:
    task = build.task(composed("dataset=ifeval", f"dataset.data_dir={DATA}"))
    questions = task.questions(None, 0, 1)
    assert len(questions.samples) == 541
    assert references(questions.samples, task.score) == (0, 0), "there is no reference answer that could be tried"
    assert not caplog.records
    asked = [i["id"] for s in questions.samples for i in json.loads(json.dumps(s.data["instructions"]))]
    assert len(asked) == 834
    assert set(asked) == set(CHECKERS)
    assert all(task.score(s, response("")).value == 0 for s in questions.samples)
