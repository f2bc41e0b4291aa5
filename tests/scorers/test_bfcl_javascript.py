"""Texts of JavaScript source as values, by the leaderboard's patterns and their quirks."""

import time

import pytest

from scorers.hostile import hostile_texts
from wattrack.scorers.bfcl_javascript import TYPES, converted, value_accepted, written

READ = [
    # text, type, type of elements, value
    ("5", "integer", None, 5),
    ("-5\n", "integer", None, -5),
    ("5.0", "integer", None, "5.0"),
    ("5n", "Bigint", None, 5),
    ("5", "Bigint", None, "5"),
    ("5", "float", None, 5.0),
    ("-2.5", "float", None, -2.5),
    ("1e3", "float", None, "1e3"),
    ("true", "Boolean", None, True),
    ("'true'", "Boolean", None, "'true'"),
    ("'a'", "String", None, "a"),
    ('"a"', "String", None, "a"),
    ("a", "String", None, "a"),
    ("\"a'", "String", None, "\"a'"),
    ("`a`", "String", None, "`a`"),
    ('"', "String", None, ""),
    ('"a"', "any", None, '"a"'),
    ("[1, 2.5]", "array", "float", [1.0, 2.5]),
    (" [ 'a', \"b\", c ] ", "array", "String", ["a", "b", "c"]),
    ("new Array(1, 2)", "array", "integer", [1, 2]),
    ("[1, 'two', true, x, 1_000]", "array", None, [1, "two", True, "x", 1000]),
    ("[]", "array", "String", []),
    ("new Array()", "array", "String", []),
    ("[1,]", "array", "integer", [1, ""]),
    ("[1] and more", "array", "integer", [1]),
    ("[\n1]", "array", "integer", "[\n1]"),
    ("[1" + "1" * 5_000 + "]", "array", "integer", "[1" + "1" * 5_000 + "]"),
    (" f(1) ", "array", "integer", "f(1)"),
    ("[ [1, 'a'], [ true,b ]]", "array", "array", [[1, "a"], [True, "b"]]),
    ("new Array([1], [2])", "array", "array", [[1], [2]]),
    ("[[1], [[2]]]", "array", "array", [[1], ["[2"]]),
    ("[[1], 2, [3]]", "array", "array", [[1], [3]]),
    ("[[1], [2]", "array", "integer", ["[1"]),
    ("[[a,\nb], [c]]", "array", "String", "[[a,\nb], [c]]"),
    ("{}", "dict", None, {}),
    ("{ }", "dict", None, {}),
    ("{a: 1, 'b': 'x', \"c\": true, d: [1, 'y'], e: f}", "dict", None,
     {"a": 1, "b": "x", "c": True, "d": [1, "y"], "e": "f"}),
    ("{a: '5'}", "dict", None, {"a": 5}),
    ("{a: 'x, y', b: 1}", "dict", None, {"a": "x, y", "b": 1}),
    ("{url: 'https://a.b'}", "dict", None, {"url": "https://a.b"}),
    ("{a: {b: 1}}", "dict", None, {"a": "{b: 1"}),
    ("{a: 1} // done", "dict", None, {"a": 1}),
    ("{a:\n1}", "dict", None, "{a:\n1}"),
    ("options", "dict", None, "options"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "nested", "value"), READ)
def test_values_are_read_as_upstream(text: str, kind: str, nested: str | None, value: object) -> None:
    found = converted(text, kind, nested)
    assert (found, type(found)) == (value, type(value))


STRINGS = {"type": "array", "items": {"type": "String"}}

JUDGED = [
    ("3", {"type": "float"}, [3.0], True),
    (3, {"type": "float"}, [3.0], False),
    ("3.5", {"type": "integer"}, [3], False),
    ("1" * 5_000, {"type": "integer"}, [3], False),
    ("'A b'", {"type": "String"}, ["ab"], True),
    ("'A b'", {"type": "any"}, ["ab"], False),
    ("", {"type": "String"}, ["ab", ""], True),
    ("null", {"type": "any"}, ["null"], True),
    ("true", {"type": "Boolean"}, [True, ""], True),
    ("[\"a\", 'B']", STRINGS, [["a", "b"]], True),
    ('["a"]', STRINGS, [["a", "b"]], False),
    ("flags", STRINGS, ["flags"], True),
    ("[[10, 15], [20, 25]]", {"type": "array", "items": {"type": "float"}}, [[10.0, 15.0]], False),
    ("{a: 'X'}", {"type": "dict"}, [{"a": ["x"]}], True),
    ("{a: 'X', b: 1}", {"type": "dict"}, [{"a": ["x"]}], False),
    ("{}", {"type": "dict"}, ["", {}], True),
    ("config", {"type": "dict"}, ["config"], True),
]


@pytest.mark.parametrize(("value", "details", "accepted", "verdict"), JUDGED)
def test_one_argument(value: object, details: dict[str, object], accepted: list[object], verdict: bool) -> None:
    assert value_accepted(value, details, accepted) is verdict


WRITTEN = [
    # accepted value, type, type of elements, text
    (5, "integer", None, "5"), (5.0, "float", None, "5.0"), (True, "Boolean", None, "true"), ("x", "any", None, "x"),
    ("x y", "String", None, "x y"), (["a", "b"], "array", "String", '["a", "b"]'),
    ([1.0, 2.5], "array", "float", "[1.0, 2.5]"), ({}, "dict", None, "{}"),
    ({"k": ["v", "w"], "n": [[1, "x"]]}, "dict", None, '{k: "v", n: [1, "x"]}'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "nested", "text"), WRITTEN)
def test_an_accepted_value_is_written_as_it_is_read(value: object, kind: str, nested: str | None, text: str) -> None:
    assert written(value, kind, nested) == text
    assert value_accepted(text, {"type": kind, "items": {"type": nested}} if nested else {"type": kind}, [value])


SLOW = [
    "[" + "[1]," * 245,  # exponential by upstream's pattern
    "new Array(" + "[1], " * 190,
    "[[" + "],[" * 300 + "\n]]",
    "{" + "a" * 990 + "}",
    "{a:" + ", " * 490 + "}",
    "{" + "a:1," + " " * 990 + "}",
    "[" * 990,
    "{a: " + "[" * 990 + "]}",
]


def test_hostile_texts_neither_crash_nor_hang() -> None:
    slowest_s = 0.0
    for number, text in enumerate((*SLOW, *hostile_texts(10_000))):
        for kind in ("array", "dict", list(TYPES)[number % len(TYPES)]):
            started_s = time.perf_counter()
            value_accepted(text, {"type": kind, "items": {"type": list(TYPES)[number % len(TYPES)]}}, ["x", [1], {}])
            slowest_s = max(slowest_s, time.perf_counter() - started_s)
    assert slowest_s < 2
