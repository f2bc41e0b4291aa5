"""The published Python rows of the leaderboard, read in place where they are: right calls pass, damaged ones do not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from support import CHECKOUT, flat_response
from wattrack.schema import Response, Sample
from wattrack.scorers.bfcl import mistake
from wattrack.scorers.calls import Call, read_calls
from wattrack.tasks import bfcl
from wattrack.tasks.bfcl_languages import LANGUAGES

DATA = CHECKOUT.parent / "shared" / "data" / "bfcl"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the published rows are not beside the checkout")

COUNTS = {
    "simple_python": 400,
    "multiple": 200,
    "parallel": 200,
    "parallel_multiple": 200,
    "irrelevance": 240,
    "live_simple": 258,
    "live_multiple": 1053,
    "live_parallel": 16,
    "live_parallel_multiple": 24,
    "live_irrelevance": 884,
    "live_relevance": 16,
}
# No call at all is accepted: the answers name an argument that the function has not, or none for a required one.
UNSATISFIABLE = {"live_simple_106-63-0", "live_simple_112-68-0", "live_multiple_862-181-3", "live_multiple_964-207-0"}
# Accepted, but not with the first accepted value of every argument: there it says to leave out a required one.
NOT_BY_FIRST_VALUES = {
    "simple_python_200",
    "parallel_multiple_26",
    "live_multiple_144-56-0",
    "live_multiple_507-149-4",
    "live_multiple_834-178-9",
}


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    python = [name for name in bfcl.CATEGORIES if name not in LANGUAGES]
    return [bfcl.to_sample("", row) for name in python for _, row in bfcl.read(DATA, name)]


def first(option: Any) -> object:
    if isinstance(option, dict):
        return {key: values[0] for key, values in option.items() if values[0] != ""}
    return [first(item) if isinstance(item, dict) else item for item in option] if isinstance(option, list) else option


def right_calls(sample: Sample) -> list[Call]:
    """Of first accepted values; "" means to leave the argument out."""
    answers: Any = sample.data["answers"]
    return [
        Call(
            name=name, arguments={k: first(values[0]) for k, values in arguments.items() if values and values[0] != ""}
        )
        for answer in answers
        for name, arguments in answer.items()
    ]


def needed_calls(sample: Sample) -> list[Call]:
    """Of the required arguments, and of others only where they may not be left out; any accepted value but ""."""
    answers: Any = sample.data["answers"]
    calls = []
    for answer in answers:
        ((name, arguments),) = answer.items()
        needed = {k: v for k, v in arguments.items() if v and (k in required(sample, name) or "" not in v)}
        values = {
            key: next((first(option) for option in options if option != ""), "") for key, options in needed.items()
        }
        calls.append(Call(name=name, arguments=values))
    return calls


def judged(sample: Sample, calls: Sequence[Call]) -> str | None:
    functions: Any = sample.data["functions"]
    answers: Any = sample.data["answers"]
    return mistake(functions, answers, calls)


def asked(samples: list[Sample]) -> list[Sample]:
    return [
        s for s in samples if "relevance" not in (s.group or "") and s.id not in UNSATISFIABLE | NOT_BY_FIRST_VALUES
    ]


def test_every_row_is_there_once(samples: list[Sample]) -> None:
    assert {name: sum(s.group == name for s in samples) for name in COUNTS} == COUNTS
    assert len({s.id for s in samples}) == 3491


def test_calls_of_first_accepted_values_pass(samples: list[Sample]) -> None:
    called = [s for s in samples if "relevance" not in (s.group or "")]
    assert {s.id for s in called if judged(s, right_calls(s)) is not None} == UNSATISFIABLE | NOT_BY_FIRST_VALUES
    assert {s.id for s in called if judged(s, needed_calls(s)) is not None} == UNSATISFIABLE


def test_reference_answers_are_right_where_any_is(samples: list[Sample]) -> None:
    def reply(sample: Sample) -> Response:
        text = sample.target
        return flat_response(
            sample_id=sample.id, repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1
        )

    refused = {s.id for s in samples if s.target and bfcl.score(s, reply(s)).value < 1.0}
    assert refused == UNSATISFIABLE
    assert {s.group for s in samples if not s.target} == {"live_relevance"}


def test_they_pass_as_python_text_too(samples: list[Sample]) -> None:
    for sample in asked(samples):
        calls = right_calls(sample)
        if all(key.isidentifier() for call in calls for key in call.arguments):
            texts = (f"{c.name}({', '.join(f'{k}={v!r}' for k, v in c.arguments.items())})" for c in calls)
            reply = read_calls(f"[{', '.join(texts)}]")
            if reply.error is None:
                assert judged(sample, reply.calls) is None, sample.id


def changed(value: object) -> object:
    if isinstance(value, bool) or value is None:
        return "neither"
    if isinstance(value, int | float):
        return value + 12_345
    if isinstance(value, str):
        return value + " zebra"
    return {**value, "zebra": 1} if isinstance(value, dict) else [*(value if isinstance(value, list) else []), "zebra"]


def with_first(call: Call, change: Callable[[object], object]) -> Call:
    name = next(iter(call.arguments))
    return replace(call, arguments={**call.arguments, name: change(call.arguments[name])})


def required(sample: Sample, name: str) -> list[str]:
    functions: Any = sample.data["functions"]
    found: Mapping[str, Any] = next(f for f in functions if f["name"] == name)
    return list(found["parameters"]["required"])


def test_damaged_calls_do_not(samples: list[Sample]) -> None:
    counts = dict.fromkeys(("name", "value", "unknown", "missing", "extra", "none"), 0)
    for sample in asked(samples):
        call, *rest = right_calls(sample)
        damaged = {
            "name": [replace(call, name="zebra"), *rest],
            "unknown": [replace(call, arguments={**call.arguments, "zebra": 1}), *rest],
            "extra": [call, call, *rest],
            "none": [],
        }
        if call.arguments:
            damaged["value"] = [with_first(call, changed), *rest]
        if needed := required(sample, call.name):
            kept = {key: value for key, value in call.arguments.items() if key != needed[0]}
            damaged["missing"] = [replace(call, arguments=kept), *rest]
        for what, calls in damaged.items():
            assert judged(sample, calls) is not None, (sample.id, what)
            counts[what] += 1
    assert counts == {"name": 2342, "value": 2312, "unknown": 2342, "missing": 2109, "extra": 2342, "none": 2342}
