"""Calls are read from the forms that models write, and broken ones are told from plain text."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorers.hostile import hostile_texts
from wattrack.scorers.calls import Call, calls_text, read_calls

F, G = ("f", {"a": 1}), ("g", {})

READ = [
    # reply, form, calls
    ('<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>', "tags", [F]),
    (
        'Let me.\n<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>\n<tool_call>{"name": "g"}</tool_call>',
        "tags",
        [F, G],
    ),
    ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', "tags", [F]),
    ('<tool_call>\n{"name": "f", "arguments": {"a": 1}}', "tags", [F]),
    ('{"name": "f", "parameters": {"a": 1}}', "json", [F]),
    ('[{"name": "f", "arguments": {"a": 1}}, {"name": "g", "arguments": {}}]', "json", [F, G]),
    ('```json\n[{"name": "f", "arguments": {"a": 1}}]\n```', "json", [F]),
    ('{"type": "function", "function": {"name": "f", "arguments": "{\\"a\\": 1}"}}', "json", [F]),
    ('{"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}', "json", [F]),
    ("[]", "json", []),
    ('{"name": "f", "parameters": {"a": 1}}; {"name": "g", "parameters": {}}', "json", [F, G]),
    ('{"name": "f", "parameters": {"a": 1}}, {"name": "g", "parameters": {}}', "json", [F, G]),
    ('{"name": "f", "parameters": {"a": 1}}\n\n{"name": "g", "parameters": {}};', "json", [F, G]),
    (
        '{"name": "f", "parameters": {"a": "x; {y}"}}; {"name": "g", "parameters": {}}',
        "json",
        [("f", {"a": "x; {y}"}), G],
    ),
    ("[f(a=1), g()]", "python", [F, G]),
    ("f(a=1)", "python", [F]),
    ("`f(a=1)`", "python", [F]),
    ("```python\n[f(a=1)]\n```", "python", [F]),
    ("f(a=1), g()", "python", [F, G]),
    (
        "m.n.f(a=-2.5, b=[1, 'x'], c={'k': True}, d=(1, 2), e=None, h=2*3, i=var)",
        "python",
        [("m.n.f", {"a": -2.5, "b": [1, "x"], "c": {"k": True}, "d": (1, 2), "e": None, "h": 6, "i": "var"})],
    ),
    ("f(7, a=1)", "python", [F]),
    ("f(a='\\d')", "python", [("f", {"a": "\\d"})]),
    ("f(a=g(b=1))", "python", [("f", {"a": {"g": {"b": 1}}})]),
]


@pytest.mark.parametrize(("text", "form", "calls"), READ)
def test_what_is_read(text: str, form: str, calls: list[tuple[str, dict[str, object]]]) -> None:
    reply = read_calls(text)
    assert (reply.form, reply.error) == (form, None)
    assert [(call.name, call.arguments) for call in reply.calls] == calls


PLAIN = [
    "",
    "I would need to know the city.",
    "Paris (the capital) is nice.",
    "42",
    '{"answer": 1}',
    '{"name": "Bob"}',
    "[1, 2]",
    "[Paris](http://a.b)",
    "f",
    "Sure: [f(a=1)]",
    "<think>f(a=1)",
    "x = 1",
    "2 * (3)",
]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_text_is_no_call_and_no_mistake(text: str) -> None:
    reply = read_calls(text)
    assert (reply.calls, reply.error) == ((), None)


BROKEN = [
    '<tool_call>{"name": "f", </tool_call>',
    "<tool_call></tool_call>",
    '<tool_call>{"arguments": {}}</tool_call>',
    '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
    '{"name": "f", "arguments": {"a": 1}',
    "[f(a=1)",
    "f(a=1) or so",
    "f(a=)",
    "f(a=10**10**10)",
    "f(a=x.y)",
    "f(**{'a': 1}, b=1)",
    "f(a={[]: 1})",
    "f(a=1/0)",
    '<tool_call>{"name": "f", "name": "g"}</tool_call>',
]


@pytest.mark.parametrize("text", BROKEN)
def test_a_call_that_cannot_be_read_is_a_mistake(text: str) -> None:
    reply = read_calls(text)
    assert reply.calls == ()
    assert reply.error


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"arg_[a-z]{1,5}", fullmatch=True),
        st.integers() | st.text() | st.booleans() | st.none(),
        max_size=3,
    )
)
def test_python_text_gives_the_arguments_back(arguments: dict[str, object]) -> None:
    written = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    assert read_calls(f"[f({written})]").calls == (Call(name="f", arguments=arguments),)


def test_ten_thousand_hostile_outputs_neither_crash_nor_hang() -> None:
    slowest_s = 0.0
    for text in hostile_texts(10_000):
        started_s = time.perf_counter()
        reply = read_calls(text)
        slowest_s = max(slowest_s, time.perf_counter() - started_s)
        assert not (reply.calls and reply.error)
        assert calls_text(reply.calls).encode("utf-8")
    assert slowest_s < 5
