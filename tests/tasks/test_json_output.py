"""The shipped JSON cases: enough of them, distinct, every gold answer right and every damaged one wrong (A3, A6)."""

import json

import pytest

from support import Compose, flat_response
from wattrack.errors import DatasetError
from wattrack.schema import Response, Sample
from wattrack.settings import build, checks
from wattrack.tasks.json_output import to_sample
from wattrack.tasks.task import Task


@pytest.fixture
def task(composed: Compose) -> Task:
    cfg = composed("dataset=json_output")
    checks.check(cfg)
    return build.task(cfg)


def answered(sample: Sample, text: str) -> Response:
    return flat_response(
        sample_id=sample.id, repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1
    )  # fmt: skip


def test_there_are_enough_distinct_cases(task: Task) -> None:
    samples, facts = task.samples(None, 0)
    assert facts.rows >= 24
    assert len({s.id for s in samples}) == len({s.question for s in samples}) == facts.rows
    assert {"person", "three_books", "nested_product"} <= {s.id for s in samples}
    assert 0 < sum("gold" not in s.data for s in samples) < 5


def test_gold_scores_1_and_nothing_scores_0(task: Task) -> None:
    for sample in task.samples(None, 0)[0]:
        if "gold" in sample.data:
            right = task.score(sample, answered(sample, json.dumps(sample.data["gold"])))
            assert set(right.metrics.values()) <= {0.0, 1.0}
            assert right.value == right.metrics["field_accuracy"] == right.metrics["json_valid_strict"] == 1
            wrapped = task.score(sample, answered(sample, json.dumps({"answer": sample.data["gold"]})))
            assert wrapped.metrics["json_valid"] == 1
            assert wrapped.metrics["field_accuracy"] < 1
        assert task.score(sample, answered(sample, "")).value == 0


def test_reasoning_is_taken_off_before_json_is_looked_for(task: Task) -> None:
    sample = next(s for s in task.samples(None, 0)[0] if s.id == "primes")
    found = task.score(sample, answered(sample, f"<think>[1, 2] or {{}}?</think>\n{json.dumps(sample.data['gold'])}\n"))
    assert found.metrics["json_valid_strict"] == found.metrics["field_accuracy"] == 1
    thought = task.score(sample, answered(sample, f"<think>{json.dumps(sample.data['gold'])}"))
    assert (thought.metrics["json_valid"], thought.metrics["json_error_empty"]) == (0, 1)


def test_a_flight_number_is_written_in_one_way(task: Task) -> None:
    sample = next(s for s in task.samples(None, 0)[0] if s.id == "flight")
    gold = dict(sample.data["gold"])  # type: ignore[call-overload]
    unblanked = task.score(sample, answered(sample, json.dumps({**gold, "flight": "LX318"})))
    assert unblanked.metrics["schema_valid"] == 0, "the schema says how a flight number is written"


GOOD = {"id": "x", "kind": "object", "request": "Do it.", "schema": {"type": "integer"}, "gold": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "integer"}, "`schema` must be a JSON Schema as an object"),
        ({"schema": {"type": "intger"}}, "`schema` is no JSON Schema"),
        ({"gold": "3"}, "`gold` breaks its own schema at"),
        ({"request": ""}, "`request` must be a non-empty string"),
        ({"kind": None}, "`kind` must be a non-empty string"),
    ],
)
def test_a_bad_row_says_what_is_wrong(change: dict[str, object], message: str) -> None:
    assert to_sample("1", GOOD).target == "3"
    with pytest.raises(DatasetError, match=message.replace("$", r"\$")):
        to_sample("1", {**GOOD, **change})
