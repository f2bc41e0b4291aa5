"""Texts of Java source as values, by the leaderboard's patterns and their quirks."""

import time

import pytest

from scorers.hostile import hostile_texts
from wattrack.scorers.bfcl_java import LISTS, TYPES, converted, value_accepted, written

READ = [
    # text, type, type of elements, value
    ("5", "integer", None, 5),
    ("-5", "short", None, -5),
    ("5\n", "byte", None, 5),
    ("+5", "integer", None, "+5"),
    ("5.0", "integer", None, "5.0"),
    ("5L", "long", None, 5),
    ("5l", "long", None, 5),
    ("5", "long", None, "5"),
    ("2.5f", "float", None, 2.5),
    ("3e-3F", "float", None, 0.003),
    ("2.5", "float", None, "2.5"),
    ("2.5", "double", None, 2.5),
    ("2.5f", "double", None, "2.5f"),
    ("true", "boolean", None, True),
    ("True", "boolean", None, "True"),
    ("true\n", "boolean", None, "true\n"),
    ("'a'", "char", None, "'a'"),
    ('"a"', "String", None, '"a"'),
    ("5", "any", None, "5"),
    ("new int[]{1, 2, 3}", "Array", "integer", [1, 2, 3]),
    ("new int [] {1}", "Array", "integer", "new int [] {1}"),
    ("x = new int[] { 1,, 2 }; // two", "Array", "integer", [1, 2]),
    ("new int[]{}", "Array", "integer", []),
    ("new long[]{1L, 2}", "Array", "long", [1, "2"]),
    ('new String[]{"a", "b"}', "Array", "String", ['"a"', '"b"']),
    ("new String[]{a, b}", "Array", "String", ["a", "b"]),
    ('new Object[]{1, "a", true, 2.5f, 7L, x}', "Array", None, [1, "a", True, 2.5, 7, "x"]),
    ("{1, 2}", "Array", "integer", "{1, 2}"),
    ('new ArrayList<>(Arrays.asList("a", b))', "ArrayList", "String", ["a", ""]),
    ("new ArrayList<Integer>(Arrays.asList(1, 2))", "ArrayList", "integer", [1, 2]),
    ("new ArrayList<Long>() {{ add(1L); add(2L); }}", "ArrayList", "long", [1, 2]),
    ("new ArrayList<>() {{\n  add('a');\n  add('b');\n}}", "ArrayList", "char", ["a", "b"]),
    ('new ArrayList<Object>(Arrays.asList("a", 1))', "ArrayList", "any", ['"a"', "1"]),
    ("new ArrayList<>()", "ArrayList", "integer", []),
    ("new ArrayList<>() {{ }}", "ArrayList", "integer", []),
    ("new ArrayList<Map<String, Integer>>()", "ArrayList", "any", "new ArrayList<Map<String, Integer>>()"),
    ("List.of(1, 2)", "ArrayList", "integer", "List.of(1, 2)"),
    (
        'new HashMap<String, Object>() {{ put("a", 1); put("b", "x y"); put("c", true); put("d", 2L); }}',
        "HashMap",
        None,
        {"a": 1, "b": "x y", "c": True, "d": 2},
    ),
    ('new HashMap<>() { {\n put("a",\n 1.5); } }', "HashMap", None, {"a": 1.5}),
    ('new HashMap<String, List<String>>() {{ put("a", f(1)); }}', "HashMap", None, {"a": "f(1"}),
    ("new HashMap<>() {}", "HashMap", None, {}),
    ("new HashMap<>()", "HashMap", None, {}),
    ('Map.of("a", 1)', "HashMap", None, 'Map.of("a", 1)'),
]


@pytest.mark.parametrize(("text", "kind", "nested", "value"), READ)
def test_values_are_read_as_upstream(text: str, kind: str, nested: str | None, value: object) -> None:
    found = converted(text, kind, nested)
    assert (found, type(found)) == (value, type(value))


STRINGS = {"type": "Array", "items": {"type": "String"}}

JUDGED = [
    ("3", {"type": "integer"}, [3], True),
    (3, {"type": "integer"}, [3], False),
    (True, {"type": "boolean"}, [True], False),
    ("true", {"type": "boolean"}, [True], True),
    ("false", {"type": "boolean"}, [True], False),
    ("42", {"type": "long"}, [42], False),
    ("42L", {"type": "long"}, [42], True),
    ("1" * 5_000, {"type": "integer"}, [3], False),
    ("3", {"type": "double"}, [3], True),
    ("3", {"type": "double"}, [3.0], True),
    ("mapController", {"type": "any"}, ["mapController"], True),
    ("Map Controller", {"type": "any"}, ["mapController"], True),
    ('"mapController"', {"type": "any"}, ["mapController"], False),
    ("20.5", {"type": "any"}, [20.5, "20.5"], True),
    ("20.5f", {"type": "any"}, [20.5, "20.5"], False),
    ("maxSize", {"type": "integer"}, ["maxSize"], True),
    ("maxsize", {"type": "integer"}, ["maxSize"], False),
    ("new String[]{a, B}", STRINGS, [["a", "b"]], True),
    ("new String[]{b, a}", STRINGS, [["a", "b"]], False),
    ('new String[]{"a", "b"}', STRINGS, [["a", "b"]], False),
    ("args", STRINGS, ["args"], True),
    ("new Object[]{a, 1}", {"type": "Array", "items": {"type": "any"}}, [["a", 1]], False),
    ('new HashMap<>() {{ put("a", "X"); }}', {"type": "HashMap"}, [{"a": ["x"]}], True),
    ('new HashMap<>() {{ put("a", "X"); put("b", 1); }}', {"type": "HashMap"}, [{"a": ["x"]}], False),
    ("new HashMap<>()", {"type": "HashMap"}, [{"a": ["x", ""]}], True),
    ("new HashMap<>()", {"type": "HashMap"}, [{"a": ["x"]}], False),
]


@pytest.mark.parametrize(("value", "details", "accepted", "verdict"), JUDGED)
def test_one_argument(value: object, details: dict[str, object], accepted: list[object], verdict: bool) -> None:
    assert value_accepted(value, details, accepted) is verdict


WRITTEN = [
    # accepted value, type, type of elements, text
    (5, "integer", None, "5"), (5, "long", None, "5L"), (True, "boolean", None, "true"), ("x", "any", None, "x"),
    (2.5, "double", None, "2.5"), (["a", "b"], "Array", "String", "new Object[]{a, b}"),
    ([1, 2], "ArrayList", "long", "new ArrayList<>(Arrays.asList(1L, 2L))"),
    (["a"], "ArrayList", "String", 'new ArrayList<>(Arrays.asList("a"))'),
    ({"k": ["v", "w"], "n": [1]}, "HashMap", None,
     'new HashMap<String, Object>() {{ put("k", "v"); put("n", 1); }}'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "kind", "nested", "text"), WRITTEN)
def test_an_accepted_value_is_written_as_it_is_read(value: object, kind: str, nested: str | None, text: str) -> None:
    assert written(value, kind, nested) == text
    assert value_accepted(text, {"type": kind, "items": {"type": nested}} if nested else {"type": kind}, [value])


SLOW = [
    "new ArrayList<>() {{" + " " * 970,
    "new HashMap<>() {" + " " * 970,
    "new HashMap<>() {{" + 'put("' * 65 + '",' * 300 + "}}",
    'new HashMap<>() {{put("' + '", ' * 320,
    "new HashMap<" * 40 + ">(){" * 120,
    "new ArrayList<>(Arrays.asList(" * 33,
    "new " * 249,
    "new x[]{" * 100 + "," * 190 + "}",
]


def test_hostile_texts_neither_crash_nor_hang() -> None:
    slowest_s = 0.0
    for number, text in enumerate((*SLOW, *hostile_texts(10_000))):
        for kind in ("Array", "ArrayList", "HashMap", list(TYPES)[number % len(TYPES)]):
            started_s = time.perf_counter()
            value_accepted(text, {"type": kind, "items": {"type": list(TYPES)[number % len(TYPES)]}}, ["x", [1], {}])
            slowest_s = max(slowest_s, time.perf_counter() - started_s)
    assert slowest_s < 2


def test_a_collection_is_no_list_of_another_type() -> None:
    assert all(TYPES[kind] is list for kind in LISTS)
    assert converted("new int[]{1}", "ArrayList", "integer") == "new int[]{1}"
    assert converted("new int[]{" + "1," * 1_000 + "1}", "Array", "integer").__class__ is str
