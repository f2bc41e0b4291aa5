"""What is found in a reply, where, and why not (A1)."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorers.hostile import hostile_texts
from wattrack.scorers.json_reply import _refuse, _unique, balanced, parse, read_json

GOLDEN = [
    # reply, cut, value, found, error
    ('{"a": 1}', False, {"a": 1}, "whole", "none"),
    (' \n[1, 2]\n', False, [1, 2], "whole", "none"),
    ("3.5", False, 3.5, "whole", "none"),
    ("null", False, None, "whole", "none"),
    ('Here:\n```json\n{"a": 1}\n```\nDone. {"b": 2}', False, {"a": 1}, "fence", "none"),
    ('{"b": 2} and then\n```\n{"a": 1}\n```', False, {"a": 1}, "fence", "none"),
    ('```json\n{"a": }\n```\nor {"a": 1}', False, None, "nowhere", "syntax"),
    ('Sure, {"a": "}"} it is', False, {"a": "}"}, "brackets", "none"),
    ('The "{name}" field: {"a": 1}', False, {"a": 1}, "brackets", "none"),
    ('A 12" record: {"a": 1} for 5"', False, {"a": 1}, "brackets", "none"),
    ('an open [ bracket, {"a": 1}', False, {"a": 1}, "brackets", "none"),
    ('{"a": [1, 2}', False, None, "nowhere", "syntax"),
    ("[the list]: [1]", False, None, "nowhere", "syntax"),
    ("{'a': 1}", False, None, "nowhere", "syntax"),
    ('{"a": NaN}', False, None, "nowhere", "syntax"),
    ('{"a": 1, "a": 2}', False, None, "nowhere", "syntax"),
    ('{"a": 1} {"b": 2}', False, {"a": 1}, "brackets", "none"),
    ("", False, None, "nowhere", "empty"),
    ("  \n ", False, None, "nowhere", "empty"),
    ("\u00a0", False, None, "nowhere", "empty"),
    ('\u00a0{"a": 1}', False, {"a": 1}, "brackets", "none"),
    ('\ufeff{"a": 1}', False, {"a": 1}, "brackets", "none"),
    ('"a\tb"', False, None, "nowhere", "no_json"),
    ("hm {", True, None, "nowhere", "truncated"),
    ('{"a": 1, "b', True, None, "nowhere", "truncated"),
    ('{"a": 1}', True, {"a": 1}, "whole", "none"),
    ("I cannot do that.", False, None, "nowhere", "no_json"),
    ("NaN", False, None, "nowhere", "no_json"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "cut", "value", "found", "error"), GOLDEN)
def test_the_first_place_that_parses_counts(text: str, cut: bool, value: object, found: str, error: str) -> None:
    reply = read_json(text, truncated=cut)
    assert (reply.value, reply.found, reply.error) == (value, found, error)
    assert (reply.text is None) == (error != "none")


@pytest.mark.parametrize(
    "text", ["[" * 101 + "]" * 101, "[" * 100_000 + "]" * 100_000, "01", "+1", "{a: 1}", "[1,]", "\ufeff1"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40, deadline=None)
@given(JSON.filter(lambda value: isinstance(value, dict | list)))
def test_every_json_is_found_in_prose(value: object) -> None:
    import json

    text = json.dumps(value)
    assert read_json(text, truncated=False).found == "whole"
    found = read_json(f"Well: {text} - that is all.", truncated=False)
    assert (found.value, found.found) == (value, "brackets")


def test_brackets_are_found_in_one_pass() -> None:
    started_s = time.process_time()
    for text in hostile_texts(300):
        part = balanced(text)
        assert part is None or (part[0], part[-1]) in (("{", "}"), ("[", "]"))
    assert time.process_time() - started_s < 40  # a hang, not a benchmark


@given(st.text(alphabet='{}[]",:;0123456789.-eEtrufalsn \n\t\\\u00a0', max_size=30))
def test_one_value_is_what_the_standard_library_takes_for_one(text: str) -> None:
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            parse(text)
    else:
        assert parse(text) == value
