"""The shipped tool cases: enough of them, gold calls score 1, damaged ones less; no-call cases stay out of the mean."""

import json
import math
from collections import Counter
from typing import Any, cast

import pytest

from support import Compose, flat_response
from wattrack.errors import DatasetError
from wattrack.job import grading
from wattrack.results.summary import quality
from wattrack.schema import Response, Sample
from wattrack.settings import build, checks
from wattrack.tasks.task import Task
from wattrack.tasks.tool_calls import to_sample

# A text for every pattern rule of the suite.
LE_GUIN = r"(?i)(books? by |author:? ?)?(ursula )?(k\.? ?)?le ?guin('s)?( books)?|le guin, ursula( k\.?)?"
PATTERNS = {LE_GUIN: "Ursula Le Guin", "(?i)moby[ -]dick": "moby dick", ".*": "three minutes"}


@pytest.fixture
def task(composed: Compose) -> Task:
    cfg = composed("dataset=tool_calls")
    checks.check(cfg)
    return build.task(cfg)


def answered(sample: Sample, text: str, *, error: str | None = None) -> Response:
    return flat_response(
        sample_id=sample.id, repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1, error=error
    )


def value(rule: dict[str, Any]) -> object:
    if "pattern" in rule:
        return PATTERNS[rule["pattern"]]
    return rule["any_of"][-1] if "any_of" in rule else rule.get("equals", rule.get("exact"))


def gold(sample: Sample) -> str:
    expected: Any = sample.data["expected"]
    calls = [{"name": e["name"], "arguments": {k: value(rule) for k, rule in e["arguments"].items()}} for e in expected]
    return json.dumps(calls) if calls else "Which one do you mean?"


def test_there_are_enough_distinct_cases(task: Task) -> None:
    samples, facts = task.samples(None, 0)
    assert len({s.id for s in samples}) == len({s.question for s in samples}) == facts.rows
    assert sum(bool(s.data["expected"]) for s in samples) >= 24
    kinds = Counter(s.group for s in samples)
    assert kinds.keys() == {"single", "choice", "optional", "several", "no_call", "missing_information"}
    assert min(kinds.values()) >= 3


def test_gold_scores_1_and_silence_0(task: Task) -> None:
    for sample in task.samples(None, 0)[0]:
        right, silent = (task.score(sample, answered(sample, text)) for text in (gold(sample), ""))
        if sample.data["expected"]:
            kept = {k: v for k, v in right.metrics.items() if k not in ("tool_calls_mean", "call_unreadable")}
            assert set(kept.values()) == {1.0}, sample.id
            assert set(silent.metrics.values()) == {0.0}
        else:
            assert (right.metrics["irrelevance_accuracy"], silent.metrics["irrelevance_accuracy"]) == (1, 0)


def test_no_call_cases_stay_out_of_the_mean(task: Task) -> None:
    samples = task.samples(None, 0)[0]
    told = [answered(s, gold(s) if s.data["expected"] else "[get_weather(city='x')]") for s in samples]
    records = [grading.record(s, r, task.score) for s, r in zip(samples, told, strict=True)]
    found = quality(records)
    assert (found["quality/score"], found["quality/exact_success"], found["quality/irrelevance_accuracy"]) == (1, 1, 0)
    assert found["quality/n"] == len(samples)
    assert found["quality/score_n"] == sum(bool(s.data["expected"]) for s in samples) >= 20
    failed = [grading.record(s, answered(s, "", error="lost"), task.score) for s in samples]
    assert (quality(failed)["quality/score"], quality(failed)["quality/irrelevance_accuracy"]) == (0, 0)
    assert sum(math.isnan(r.score) for r in failed) == sum(not s.data["expected"] for s in samples)


SENSIBLE = [
    # case, arguments of its one call, is that right
    ("book", {"query": "Ursula K. Le Guin"}, True),
    ("book", {"query": "ursula k le guin"}, True),
    ("book", {"query": "Le Guin, Ursula"}, True),
    ("book", {"query": "books by Ursula Le Guin", "available_only": False}, True),
    ("book", {"query": "Le Guin", "language": "en"}, False),
    ("book", {"query": "Ursula"}, False),
    ("weather", {"city": "New York City, NY", "unit": "celsius"}, True),
    ("weather", {"city": "York"}, False),
    ("light_on", {"room": "Kitchen", "on": True, "brightness": 100}, True),
    ("light_on", {"room": "kitchen", "on": True, "brightness": 50}, False),
    ("extension", {"extension": 417}, False),
    ("event", {"title": "dentist", "date": "2026-02-03", "time": "14:30", "minutes": 60}, True),
    ("event", {"title": "Dentist", "date": "2026-03-02", "time": "14:30"}, False),
    ("tip_split", {"bill": 240, "percent": 15}, False),
]


@pytest.mark.parametrize(("case", "arguments", "right"), SENSIBLE)
def test_what_sensible_models_call(task: Task, case: str, arguments: dict[str, object], right: bool) -> None:
    sample = next(s for s in task.samples(None, 0)[0] if s.id == case)
    (expected,) = cast(list[dict[str, object]], sample.data["expected"])
    text = json.dumps({"name": expected["name"], "arguments": arguments})
    assert task.score(sample, answered(sample, text)).metrics["exact_success"] == right


def test_calls_that_were_only_thought_of_do_not_count(task: Task) -> None:
    samples = {s.id: s for s in task.samples(None, 0)[0]}
    thought = '<think><tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call></think>'
    asked = task.score(samples["which_city"], answered(samples["which_city"], f"{thought}Which city?"))
    assert asked.metrics["irrelevance_accuracy"] == 1
    assert task.score(samples["weather"], answered(samples["weather"], f"{thought}OK")).metrics["parse_ok"] == 0
    silent = task.score(samples["which_city"], answered(samples["which_city"], thought))
    assert silent.metrics["irrelevance_accuracy"] == 0


def test_timers_may_have_labels_and_come_in_any_order(task: Task) -> None:
    sample = next(s for s in task.samples(None, 0)[0] if s.id == "three_timers")
    calls = [{"name": "set_timer", "arguments": {"minutes": n, "label": f"{n} minutes"}} for n in (10, 3, 5)]
    assert task.score(sample, answered(sample, json.dumps(calls))).value == 1
    assert task.score(sample, answered(sample, json.dumps([*calls, calls[0]]))).value == 0


GOOD: dict[str, Any] = {
    "id": "x",
    "kind": "single",
    "request": "Do it.",
    "tools": [
        {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
    ],
    "expected": [{"name": "f", "arguments": {"a": {"equals": 1}}}],
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tools": []}, "`tools` must be a list of descriptions"),
        ({"tools": [{"name": "f", "parameters": {"type": "no"}}]}, "no JSON Schema"),
        ({"expected": None}, "`expected` must be a list of calls"),
        ({"expected": [{"name": "g", "arguments": {}}]}, "names g, which is none of the tools f"),
        ({"expected": [{"name": "f", "arguments": {}}]}, "f: no rule for the required a"),
        ({"expected": [{"name": "f", "arguments": {"a": {"is": 1}}}]}, "one rule of equals"),
        ({"expected": [{"name": "f", "arguments": {"a": {"equals": 1, "optional": True}}}]}, "cannot be optional"),
    ],
)
def test_a_bad_row_says_what_is_wrong(change: dict[str, object], message: str) -> None:
    assert to_sample("1", GOOD).id == "x"
    with pytest.raises(DatasetError, match=message):
        to_sample("1", {**GOOD, **change})
