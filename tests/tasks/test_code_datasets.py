"""HumanEval and MBPP: rows to samples, the prompt to the character, and every published solution through the scorer."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import CHECKOUT, Compose, flat_response
from wattrack.errors import DatasetError
from wattrack.protocols import Row
from wattrack.sandbox.check import Limits, Sandbox
from wattrack.schema import Request, Sample
from wattrack.scorers.code import score
from wattrack.settings import build, checks
from wattrack.tasks import humaneval, mbpp
from wattrack.tasks.rows import local_rows

DATA = CHECKOUT.parent / "shared" / "data"
needs_rows = pytest.mark.skipif(not DATA.is_dir(), reason="the published rows are not beside the checkout")

FUNCTION: Row = {
    "prompt": "\ndef f(x):\n    '''One more.'''\n",
    "canonical_solution": "    return x + 1\n",
    "test": "def check(candidate):\n    assert candidate(1) == 2\n",
    "entry_point": "f",
}
SENTENCE: Row = {
    "text": "Add one.",
    "code": "class One: pass\r\ndef sum(x):\r\n  return x + 1",
    "test_list": ["assert sum(1) == 2", "assert sum(y) == 3"],
    "test_setup_code": "y = 2",
}


def answered(sample: Sample, text: str, sandbox: Sandbox) -> float:
    response = flat_response(sample_id="", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1)
    metrics = score(sample, response, sandbox=sandbox, form="completion").metrics
    assert metrics["pass_at_1_flexible"] >= metrics["pass_at_1"]
    return metrics["pass_at_1"]


def test_a_humaneval_prompt_is_not_stripped() -> None:
    sample = humaneval.to_sample("a", FUNCTION)
    assert sample.question == FUNCTION["prompt"]
    assert answered(sample, sample.target, Sandbox(allow=True)) == 1


def test_an_mbpp_question_shows_its_tests_and_the_setup_follows_the_code() -> None:
    sample = mbpp.to_sample("a", SENTENCE)
    assert sample.question == "Add one. Your code should pass these tests:\n\nassert sum(1) == 2\nassert sum(y) == 3"
    assert sample.data["own"] == ["One", "sum"]
    assert "\r" not in sample.target
    assert answered(sample, sample.target, Sandbox(allow=True)) == 1


@pytest.mark.parametrize(
    ("convert", "row", "message"),
    [
        (humaneval.to_sample, {**FUNCTION, "test": None}, "`test` must be a non-empty string"),
        (humaneval.to_sample, {}, "`prompt` must be"),
        (mbpp.to_sample, {**SENTENCE, "test_list": []}, "`test_list` must hold a test"),
        (mbpp.to_sample, {**SENTENCE, "test_list": "assert"}, "`test_list` must be a list of strings"),
        (mbpp.to_sample, {**SENTENCE, "test_setup_code": None}, "`test_setup_code` must be a string"),
    ],
)
def test_a_bad_row_is_refused_with_its_field(convert: object, row: Row, message: str) -> None:
    assert callable(convert)
    with pytest.raises(DatasetError, match=message):
        convert("a", row)


@needs_rows
@pytest.mark.parametrize(("name", "folder"), [("mbpp", "full"), ("mbpp_sanitized", "sanitized")])
def test_the_mbpp_shots_are_tasks_2_3_and_4(composed: Compose, name: str, folder: str) -> None:
    cfg = composed(f"dataset={name}", f"dataset.data_dir={DATA / 'mbpp' / folder}")
    checks.check(cfg)
    (request,) = build.task(cfg).questions(1, 0, 1).requests
    assert isinstance(request, Request) and isinstance(request.prompt, str)
    assert re.findall(r"^def (\w+)", request.prompt, re.MULTILINE) == [
        "similar_elements",
        "is_not_prime",
        "heap_queue_largest",
    ]
    assert request.prompt.count("\n[DONE]\n\nYou are an expert Python programmer") == 3
    assert request.prompt.endswith("\n[BEGIN]\n")


def published(name: str) -> list[Sample]:
    if name == "humaneval":
        return [humaneval.to_sample(w, row) for w, row in local_rows(DATA / "humaneval" / "test.jsonl")]
    files = [DATA / "mbpp" / name / f"{split}.jsonl" for split in ("prompt", "train", "validation", "test")]
    return [mbpp.to_sample(where, row) for file in files for where, row in local_rows(Path(file))]


@needs_rows
@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("humaneval", 164), ("sanitized", 427), ("full", 974)])
def test_every_published_solution_passes(name: str, count: int) -> None:
    # One of MBPP's solutions counts for seconds; what passes here must not depend on how fast the machine is.
    samples, sandbox = published(name), Sandbox(allow=True, limits=Limits(cpu_s=120, wall_s=300.0))
    with ThreadPoolExecutor(sandbox.workers) as pool:
        passed = list(pool.map(lambda s: answered(s, s.target, sandbox), samples))
    assert len(samples) == count
    assert [s.id for s, value in zip(samples, passed, strict=True) if value != 1] == []


def wrong(sample: Sample) -> str:
    """A solution without an idea: every function that is asked for gives back an object that equals nothing."""
    if sample.data["prompt"]:
        return "    return object()\n"
    names = sample.data["own"]
    assert isinstance(names, list)
    return "\n".join(f"def {name}(*args, **kwargs):\n    return object()" for name in names)


@needs_rows
@pytest.mark.slow
@pytest.mark.parametrize("name", ["humaneval", "sanitized", "full"])
def test_a_solution_without_an_idea_fails_every_question(name: str) -> None:
    samples, sandbox = published(name), Sandbox(allow=True)
    with ThreadPoolExecutor(sandbox.workers) as pool:
        passed = list(pool.map(lambda s: answered(s, wrong(s), sandbox), samples))
    assert [s.id for s, value in zip(samples, passed, strict=True) if value] == []
