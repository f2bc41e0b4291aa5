"""The published Java and JavaScript rows of the leaderboard, where they are: right calls pass, damaged ones do not."""

from typing import Any

import pytest

from support import CHECKOUT, flat_response
from wattrack.schema import Sample
from wattrack.scorers.bfcl import mistake
from wattrack.scorers.calls import Call, read_calls
from wattrack.tasks import bfcl
from wattrack.tasks.bfcl_languages import LANGUAGES

DATA = CHECKOUT.parent / "shared" / "data" / "bfcl"
COUNTS = {"simple_java": 100, "simple_javascript": 50}
# No call is accepted: the answer holds numbers and truth values in a list whose elements are read as texts.
UNSATISFIABLE = {"simple_java_36", "simple_java_65"}
pytestmark = pytest.mark.skipif(
    not any(DATA.glob("BFCL_v4_simple_java.json*")), reason="the published Java rows are not beside the checkout"
)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [bfcl.to_sample("", row) for name in LANGUAGES for _, row in bfcl.read(DATA, name)]


def right_call(sample: Sample) -> Call:
    """Of first accepted values, without arguments that may be left out."""
    (call,) = read_calls(sample.target).calls
    return call


def judged(sample: Sample, *calls: Call) -> str | None:
    typed: Any = sample.data["typed"]
    answers: Any = sample.data["answers"]
    return mistake(typed, answers, calls, LANGUAGES[str(sample.group)].accepts)


def test_every_row_is_there_once(samples: list[Sample]) -> None:
    assert {name: sum(s.group == name for s in samples) for name in COUNTS} == COUNTS
    assert len({s.id for s in samples}) == 150


def test_first_accepted_values_pass(samples: list[Sample]) -> None:
    assert {s.id for s in samples if judged(s, right_call(s)) is not None} == UNSATISFIABLE


def test_they_pass_as_quoted_source_too(samples: list[Sample]) -> None:
    for sample in samples:
        call = right_call(sample)
        texts = {key: str(value) for key, value in call.arguments.items()}
        if sample.id in UNSATISFIABLE or any("'" in text for text in texts.values()):
            continue
        written = ", ".join(f"{key}='{text}'" for key, text in texts.items())
        reply = flat_response(
            sample_id=sample.id,
            repeat=0,
            text=f"[{call.name}({written})]",
            finish_reason="stop",
            input_tokens=1,
            output_tokens=1,
        )
        assert bfcl.score(sample, reply).value == 1.0, sample.id


def test_damaged_calls_do_not(samples: list[Sample]) -> None:
    counts = dict.fromkeys(("name", "extra", "twice", "none", "left out", "changed", "unquoted type"), 0)
    for sample in samples:
        if sample.id in UNSATISFIABLE:
            continue
        call = right_call(sample)
        damaged = [
            ("name", [Call(name=call.name + "x", arguments=call.arguments)]),
            ("extra", [Call(name=call.name, arguments={**call.arguments, "zebra": "1"})]),
            ("twice", [call, call]),
            ("none", []),
        ]
        for key in call.arguments:
            rest = {other: value for other, value in call.arguments.items() if other != key}
            damaged.append(("left out", [Call(name=call.name, arguments=rest)]))
            for what, value in (("changed", "zebra"), ("unquoted type", 12345)):
                damaged.append((what, [Call(name=call.name, arguments={**call.arguments, key: value})]))
        for what, calls in damaged:
            assert judged(sample, *calls) is not None, (sample.id, what)
            counts[what] += 1
    assert counts["name"] == 148
    assert min(counts.values()) >= 148
