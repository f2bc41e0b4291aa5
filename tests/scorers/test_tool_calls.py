"""Tool selection, valid arguments, right arguments and exact success are four things (A4, A5)."""

import math

import pytest

from scorers.hostile import hostile_texts
from support import flat_response
from wattrack.schema import Sample
from wattrack.scorers.tool_calls import score

CITY = {"any_of": ["New York", "New York City", "New York, NY", "New York City, NY"]}
WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
        },
        "required": ["city"],
    },
}
TIP = {
    "name": "calculate_tip",
    "parameters": {
        "type": "object",
        "properties": {"bill": {"type": "number"}, "percent": {"type": "number"}, "code": {"type": "string"}},
        "required": ["bill"],
    },
}


def graded(text: str, *expected: dict[str, object]) -> dict[str, float]:
    sample = Sample(id="1", question="", target="", data={"functions": [WEATHER, TIP], "expected": list(expected)})
    response = flat_response(sample_id="1", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1)
    found = score(sample, response)
    if expected:
        assert found.value == found.metrics["exact_success"]
    else:
        assert math.isnan(found.value)
        assert found.metrics.keys() == {"irrelevance_accuracy", "call_unreadable", "tool_calls_mean"}
    return dict(found.metrics)


def weather(**arguments: object) -> dict[str, object]:
    return {"name": "get_weather", "arguments": {"city": CITY, **arguments}}


def tip(**arguments: object) -> dict[str, object]:
    return {"name": "calculate_tip", "arguments": arguments}


NAMES = ("parse_ok", "tool_selection", "args_valid", "arg_accuracy", "call_f1", "exact_success")
NEW_YORK, UNIT, LIMA = (
    "get_weather(city='new york,  ny')",
    {"equals": "fahrenheit", "optional": True},
    {"equals": "Lima"},
)
NUMBER = {"equals": 85.5}

GOLDEN = [
    # reply, expected calls, values of NAMES
    (f"[{NEW_YORK}]", [weather()], (1, 1, 1, 1, 1, 1)),
    ('<tool_call>{"name":"get_weather","arguments":{"city": "NEW YORK"}}</tool_call>', [weather()], (1, 1, 1, 1, 1, 1)),
    ("get_weather(city='Boston')", [weather()], (1, 1, 1, 0, 0, 0)),
    ("get_weather()", [weather()], (1, 1, 0, 0, 0, 0)),
    (f"[{NEW_YORK}, {NEW_YORK}]", [weather()], (1, 0, 1, 1, 2 / 3, 0)),
    ("get_weather(city='New York', day=1)", [weather()], (1, 1, 0, 0.5, 0, 0)),
    ("get_weather(city='New York', unit='celsius')", [weather()], (1, 1, 1, 1, 1, 1)),  # the default, stated
    ("get_weather(city='New York', unit='fahrenheit')", [weather()], (1, 1, 1, 0.5, 0, 0)),
    ("get_weather(city='New York', unit='Fahrenheit')", [weather(unit=UNIT)], (1, 1, 0, 1, 1, 1)),
    ("get_weather(city='New York')", [weather(unit=UNIT)], (1, 1, 1, 1, 1, 1)),
    ("get_weather(city='New York', unit='celsius')", [weather(unit=UNIT)], (1, 1, 1, 0.5, 0, 0)),
    ("get_forecast(city='New York')", [weather()], (1, 0, 0, 0, 0, 0)),
    ("calculate_tip(bill=85.5000001)", [tip(bill=NUMBER)], (1, 1, 1, 1, 1, 1)),
    ("calculate_tip(bill='85.5')", [tip(bill=NUMBER)], (1, 1, 0, 0, 0, 0)),
    ("calculate_tip(bill=1, code='85.50')", [tip(bill={"equals": 1}, code=NUMBER)], (1, 1, 1, 1, 1, 1)),
    ("calculate_tip(bill=True)", [tip(bill={"equals": 1})], (1, 1, 0, 0, 0, 0)),
    ("calculate_tip(bill=1, code='ab')", [tip(bill={"equals": 1}, code={"exact": "AB"})], (1, 1, 1, 0.5, 0, 0)),
    ("calculate_tip(bill=1, code='ab')", [tip(bill={"equals": 1}, code={"pattern": "[a-c]+"})], (1, 1, 1, 1, 1, 1)),
    ("calculate_tip(bill=1, code='abz')", [tip(bill={"equals": 1}, code={"pattern": "[a-c]+"})], (1, 1, 1, 0.5, 0, 0)),
    (f"[get_weather(city='Lima'), {NEW_YORK}]", [weather(), weather(city=LIMA)], (1, 1, 1, 1, 1, 1)),
    (f"[{NEW_YORK}]", [weather(), weather(city=LIMA)], (1, 0, 1, 0.5, 2 / 3, 0)),
    (f"[{NEW_YORK}, calculate_tip(bill=2)]", [weather(), tip(bill={"equals": 1})], (1, 1, 1, 0.5, 0.5, 0)),
    ("I cannot do that.", [weather()], (0, 0, 0, 0, 0, 0)),
    ("", [weather()], (0, 0, 0, 0, 0, 0)),
    ("<tool_call>{", [weather()], (0, 0, 0, 0, 0, 0)),
    ("get_weather(city=['New York'])", [weather()], (1, 1, 0, 0, 0, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected", "values"), GOLDEN)
def test_golden_rows(text: str, expected: list[dict[str, object]], values: tuple[float, ...]) -> None:
    found = graded(text, *expected)
    assert [found[name] for name in NAMES] == pytest.approx(list(values))


NO_CALL = [
    ("Which city do you mean?", 1),
    ("", 0),
    (" \n", 0),
    (NEW_YORK, 0),
    ("<tool_call>{", 0),
]


@pytest.mark.parametrize(("text", "right"), NO_CALL)
def test_where_no_call_is_expected_plain_text_is_right(text: str, right: int) -> None:
    assert graded(text)["irrelevance_accuracy"] == right


def test_calls_without_arguments_have_no_argument_accuracy() -> None:
    assert "arg_accuracy" not in graded("calculate_tip()", tip())
    assert graded("calculate_tip()", tip())["exact_success"] == 1


def test_hostile_output_neither_crashes_nor_hangs() -> None:
    for text in hostile_texts(2_000):
        found = graded(text, weather(), tip(bill=NUMBER))
        assert all(0 <= found[name] <= 1 for name in NAMES)
        assert found["exact_success"] <= min(found["call_f1"], found["tool_selection"])


@pytest.mark.slow
def test_ten_thousand_hostile_outputs_neither_crash_nor_hang() -> None:
    for text in hostile_texts(10_000, seed=1):
        assert graded(text, weather())["exact_success"] in (0, 1)
        assert graded(text)["irrelevance_accuracy"] in (0, 1)
