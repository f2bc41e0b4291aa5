"""Schemas before the grammar library sees them: what it reads differently, and what it must never ignore."""

import datetime
import importlib.util
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from wattrack.engines.constrained.grammar import _FORMATS, require, rewritten
from wattrack.errors import EngineError
from wattrack.scorers.structure import schema_errors


def read(schema: dict[str, object]) -> tuple[dict[str, object], tuple[str, ...]]:
    text, left = rewritten(schema)
    return json.loads(text), left


def is_date(text: str) -> bool:
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        return False
    return True


DATES = st.builds(
    "{:04d}-{:02d}-{:02d}".format,
    st.sampled_from([0, 1, 4, 99, 100, 400, 1900, 1999, 2000, 2023, 2024, 2100, 9999]) | st.integers(0, 9999),
    st.integers(0, 13),
    st.sampled_from([0, 1, 28, 29, 30, 31, 32]),
)


@settings(max_examples=500, deadline=None, database=None)
@given(DATES)
def test_the_pattern_of_a_date_is_the_calendar(text: str) -> None:
    assert (re.search(_FORMATS["date"], text) is not None) == is_date(text)


@settings(max_examples=300, deadline=None, database=None)
@given(st.from_regex(_FORMATS["email"], fullmatch=True))
def test_what_the_pattern_of_an_address_admits_the_scorer_takes(text: str) -> None:
    assert not schema_errors(text, {"type": "string", "format": "email"})


def test_formats_become_patterns_beside_others_and_data_stays() -> None:
    made, left = read(
        {
            "properties": {
                "format": {"type": "string", "format": "date", "pattern": "^2"},
                "uniqueItems": {"enum": [{"format": "date", "uniqueItems": True}]},
                "at": {"format": "date-time"},
            },
            "x-guidance": {"lenient": True},
        }
    )
    assert made == {
        "properties": {
            "format": {"type": "string", "pattern": "^2", "allOf": [{"pattern": _FORMATS["date"]}]},
            "uniqueItems": {"enum": [{"format": "date", "uniqueItems": True}]},
            "at": {"format": "date-time"},
        }
    }
    assert left == ()


COLOURS = {"type": "array", "items": {"enum": ["r", "y", "g"]}, "uniqueItems": True}


@pytest.mark.parametrize("lengths", [{}, {"minItems": 3, "maxItems": 3}, {"minItems": 1, "maxItems": 2}])
def test_different_values_of_an_enumeration_are_written_out(lengths: dict[str, int]) -> None:
    made, left = read({**COLOURS, **lengths})
    assert left == ()
    old, new = Draft202012Validator({**COLOURS, **lengths}), Draft202012Validator(made)
    values = ["r", "y", "g", "x"]
    tried = [[], *([a] for a in values), *([a, b] for a in values for b in values)]
    tried += [[a, b, c] for a in values for b in values for c in values]
    for value in tried:
        assert old.is_valid(value) == new.is_valid(value), value


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "array", "items": {"enum": list(range(9))}, "uniqueItems": True},
        {**COLOURS, "contains": {"const": "r"}},
    ],
)
def test_what_no_grammar_holds_is_left_out_and_named(schema: dict[str, object]) -> None:
    made, left = read({"$defs": {"a": schema}, "anyOf": [{"items": schema}]})
    assert left == ("uniqueItems",) and "uniqueItems" not in json.dumps(made)
    assert read({"type": "array", "uniqueItems": False}) == ({"type": "array"}, ())


def test_a_missing_library_is_one_line_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    require()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"needs the package llguidance: pip install 'wattrack\[constrained\]'"):
        require()
