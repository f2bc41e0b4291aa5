"""JSON validity, schema validity and field accuracy are three things (A1 to A3)."""

import time

import pytest

from scorers.hostile import hostile_texts
from support import flat_response
from wattrack.schema import Response, Sample
from wattrack.scorers.structure import schema_errors, score
from wattrack.scorers.values import correct_leaves, same

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "email": {"type": "string", "format": "email"},
        "born": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
GOLD = {"name": "Ada", "age": 30, "tags": ["x", "y"]}


def sample(**data: object) -> Sample:
    return Sample(id="1", question="q", target="", data={"schema": SCHEMA, **data})


def response(text: str, finish: str = "stop") -> Response:
    return flat_response(
        sample_id="1", repeat=0, text=text, finish_reason=finish, input_tokens=1, output_tokens=1  # type: ignore[arg-type]
    )  # fmt: skip


GOLDEN = [
    # reply, strict, valid, schema, fields
    ('{"name": "Ada", "age": 30, "tags": ["x", "y"]}', 1, 1, 1, 1.0),
    ('{"name": " ada ", "age": 30.0, "tags": ["x", "y"]}', 1, 1, 1, 1.0),
    ('{"name": "Ada", "age": "30", "tags": ["x", "y"]}', 1, 1, 0, 0.75),
    ('{"name": "Ada", "age": true, "tags": ["x", "y"]}', 1, 1, 0, 0.75),
    ('{"name": "Ada", "age": 30, "tags": ["y", "x"]}', 1, 1, 1, 0.5),
    ('{"name": "Ada", "age": 31}', 1, 1, 1, 0.25),
    ('Sure:\n```json\n{"name": "Ada", "age": 30, "tags": ["x", "y"]}\n```', 0, 1, 1, 1.0),
    ('{"name": "Ada", "age": 30, "tags": ["x", "y"], "more": 1}', 1, 1, 0, 1.0),
    ('{"name": "Ada", "age": 30, "email": "nobody"}', 1, 1, 0, 0.5),
    ('{"name": "Ada", "age": 30, "email": "a@b"}', 1, 1, 0, 0.5),
    ('{"name": "Ada", "age": 30, "email": "a@b.org", "born": "2024-02-30"}', 1, 1, 0, 0.5),
    ('{"name": "Ada", "age": 30, "born": "2024-02-29"}', 1, 1, 1, 0.5),
    ("[]", 1, 1, 0, 0.0),
    ("null", 1, 1, 0, 0.0),
    ('{"name": "Ada", "age": 30', 0, 0, 0, 0.0),
    ("", 0, 0, 0, 0.0),
    ("no", 0, 0, 0, 0.0),
]


@pytest.mark.parametrize(("text", "strict", "valid", "schema", "fields"), GOLDEN)
def test_golden_rows(text: str, strict: int, valid: int, schema: int, fields: float) -> None:
    found = score(sample(gold=GOLD), response(text))
    names = ("json_valid_strict", "json_valid", "schema_valid", "field_accuracy")
    assert [found.metrics[name] for name in names] == [strict, valid, schema, fields]
    assert found.value == schema
    assert (found.answer is None) == (not valid)


def test_field_accuracy_is_absent_without_gold_values() -> None:
    assert "field_accuracy" not in score(sample(), response('{"name": "Ada", "age": 30}')).metrics


@pytest.mark.parametrize(
    ("text", "finish", "kind"),
    [("", "stop", "empty"), ("{", "length", "truncated"), ("no", "stop", "no_json"), ("{", "stop", "syntax")],
)
def test_each_parse_error_is_told_and_counted(text: str, finish: str, kind: str) -> None:
    found = score(sample(), response(text, finish))
    counted = {name for name, value in found.metrics.items() if name.startswith("json_error_") and value}
    assert counted == {f"json_error_{kind}"}
    assert found.explanation == f"parse_error: {kind}"


def test_schema_errors_are_paths_and_keywords() -> None:
    broken = schema_errors({"name": 1, "tags": ["x", 2]}, SCHEMA)
    assert broken == [("$", "required"), ("$.name", "type"), ("$.tags[1]", "type")]
    told = score(sample(), response('{"name": 1, "age": 2}')).explanation
    assert told == "JSON from the whole reply; schema broken at $.name (type)"
    assert score(sample(), response('{"\\ud800": 1}')).explanation.encode("utf-8")


@pytest.mark.parametrize(
    ("kind", "text", "kept"),
    [
        ("date", "2024-02-29", True), ("date", "2023-02-29", False), ("date", "20240229", False),
        ("date", "2024-W09-4", False), ("date", "2024-2-9", False), ("date", "29 February 2024", False),
        ("email", "a.b@c.org", True), ("email", "a@b", False), ("email", "a@@b.org", False),
        ("email", "a b@c.org", False), ("email", "a@b.org ", False),
    ],
)  # fmt: skip
def test_formats_are_checked(kind: str, text: str, kept: bool) -> None:
    assert (schema_errors(text, {"type": "string", "format": kind}) == []) == kept


SAME = [
    (1, 1.0, True), (1, 1.0000001, True), (1, 1.01, False), (1_000_000, 1_000_000.5, True), (True, 1, False),
    (1, True, False),
    ("5", 5, False), (5, "5", False), (None, None, True), (0, None, False), ("A  b", "a B", True), ("", None, False),
    ([1, 2], [1, 2], True), ([2, 1], [1, 2], False), ({"a": 1}, {"a": 1.0}, True), ({"a": 1, "b": 2}, {"a": 1}, False),
    (10**400, 1.0, False), (1.0, 10**400, False), (10**400, 10**400, True), (float("inf"), 1e308, False),
    (False, False, True),
]  # fmt: skip


@pytest.mark.parametrize(("produced", "expected", "equal"), SAME)
def test_when_values_are_the_same(produced: object, expected: object, equal: bool) -> None:
    assert same(produced, expected) is equal


def test_leaves_are_counted_where_they_belong() -> None:
    gold = {"a": [{"b": 1}, {"b": 2}], "c": {}, "d": None}
    assert correct_leaves(gold, gold) == (4, 4)
    assert correct_leaves({"a": [{"b": 2}, {"b": 1}], "c": [], "d": None}, gold) == (1, 4)
    assert correct_leaves("text", gold) == (0, 4)


def check_hostile(count: int) -> None:
    names = ("schema_valid", "json_valid", "json_valid_strict")
    for text in hostile_texts(count):
        started_s = time.process_time()
        metrics = score(sample(gold=GOLD), response(text)).metrics
        assert time.process_time() - started_s < 16  # milliseconds here; a hang, not a benchmark
        assert metrics["schema_valid"] <= metrics["json_valid"] <= 1
        assert metrics["json_valid_strict"] <= metrics["json_valid"]
        assert all(0 <= metrics[name] <= 1 for name in names)


def test_hostile_output_neither_crashes_nor_hangs() -> None:
    check_hostile(300)


@pytest.mark.slow
def test_ten_thousand_hostile_outputs_neither_crash_nor_hang() -> None:
    check_hostile(10_000)
