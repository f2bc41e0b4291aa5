"""Calls written in Java and JavaScript: values as texts of source, and what is no call."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorers.hostile import hostile_texts
from wattrack.scorers.calls import Call, read_calls
from wattrack.scorers.source_calls import Language, source_calls

BOTH: tuple[Language, ...] = ("java", "javascript")

READ = [
    # reply, languages, name, arguments
    ("[A.b(c=d, e=true)]", BOTH, "A.b", {"c": "d", "e": "true"}),
    ("A.b(c=d);", BOTH, "A.b", {"c": "d"}),
    ("f()", BOTH, "f", {}),
    ("[f(a=\"x, y)\", b='z')]", BOTH, "f", {"a": "x, y)", "b": "z"}),
    (r'f(a="say \"hi\"")', BOTH, "f", {"a": r"say \"hi\""}),
    ("f(a=g(h(1), 2), b=-5, c=1.5)", ["javascript"], "f", {"a": "g(h(1), 2)", "b": "-5", "c": "1.5"}),
    ("f(a=g( h(1), 2 ))", ["java"], "f", {"a": "g(h(1),2)"}),
    ("f(\n  a = 1,\n  b = 2\n)", BOTH, "f", {"a": "1", "b": "2"}),
    ("f(a=x.y.z, b=x[0])", BOTH, "f", {"a": "x.y.z", "b": "x[0]"}),
    ("f(7, 'x', a=1, null)", BOTH, "f", {"a": "1"}),
    ("f(a=5L, b=2.5f, c=A.class, d=A::b, e=x -> x + 1)", ["java"], "f",
     {"a": "5L", "b": "2.5f", "c": "A.class", "d": "A::b", "e": "x->x+1"}),
    ('f(a=new String[]{"x", "y"}, b=new int[] { 1, 2 })', ["java"], "f",
     {"a": 'new String[]{"x","y"}', "b": "new int[]{1,2}"}),
    ("f(a=new B<C, D>(1, new E()), b=(F) g)", ["java"], "f", {"a": "new B<C,D>(1,new E())", "b": "(F)g"}),
    ('f(a=new HashMap<String, Object>() {{ put("k", 1); }}, b=2)', ["java"], "f",
     {"a": "new HashMap<String,Object>()", "b": "2"}),
    ("f(a='new HashMap<>() {{ put(\"k\", 1); }}')", BOTH, "f", {"a": 'new HashMap<>() {{ put("k", 1); }}'}),
    ("[[f(a=1)]]", ["java"], "f", {"a": "1"}),
    ("x = f(a=1);", ["java"], "f", {"a": "1"}),
    ("f(a={b: 'c', d: [1, 2]}, e=[1, 'x',], g={})", ["javascript"], "f",
     {"a": "{b: 'c', d: [1, 2]}", "e": "[1, 'x',]", "g": "{}"}),
    ("f(a=(x, y) => x + y, b=function(z) { return z; }, c=`t ${1}`,)", ["javascript"], "f",
     {"a": "(x, y) => x + y", "b": "function(z) { return z; }", "c": "`t ${1}`"}),
    ("f(a=/usr/local/bin, b=x ? y : z, c=!d, e=typeof g, h=new I())", ["javascript"], "f",
     {"a": "/usr/local/bin", "b": "x ? y : z", "c": "!d", "e": "typeof g", "h": "new I()"}),
    ("f(a='x' + 'y')", ["javascript"], "f", {"a": "x' + 'y"}),
    ("f(a='x' + 'y')", ["java"], "f", {"a": "'x'+'y'"}),
    ("$f(_a$=$b)", ["javascript"], "$f", {"_a$": "$b"}),
    ("f(größe=Ünit)", BOTH, "f", {"größe": "Ünit"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "languages", "name", "arguments"), READ)
def test_a_call_gives_texts(text: str, languages: list[Language], name: str, arguments: dict[str, str]) -> None:
    for language in languages:
        assert source_calls(text, language) == (Call(name=name, arguments=arguments),)


UNREADABLE = [
    "", "f", "[]", "()", "f(", "f(a=1", "f)a=1(", "Sure: [f(a=1)]", "[f(a=1)] done", "f(a=1), g(b=2)", "f(a=1)(b=2)",
    "f(a=)", "f(a=hello world)", "f(a=SELECT * FROM t)", "f(a=a@b.c)", "f(a='x)", "f(a=1.2.3)", "f(a=x +)", "f(a=* x)",
    "f(a=(x)", "f(a=[1)])", "f(a: 1)", "f(a=b: 1)", "f(a=1, a=2)", "f(x)", "f(a=x, y)", "f(a=x.)", "f(a=J. K. R)x",
    "f(a=https://a.b)", "f(,)", "f(a=1 2)", "f(a='x' 'y')", "f(a=#x)", "f(a={)", "a.(b=1)", "new f(a=1)", "f(a=x; b=2)",
    "5(a=1)",
]  # fmt: skip


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_call_of_either_language(text: str) -> None:
    assert [source_calls(text, language) for language in BOTH] == [(), ()]


ONLY_ONE = [
    ("f(a=[1, 2])", "javascript"),
    ("f(a={b: 1})", "javascript"),
    ("f(a=x => y)", "javascript"),
    ("f(a=`x`)", "javascript"),
    ("f(a=1,)", "javascript"),
    ("f(a=x -> y)", "java"),
    ("f(a=A::b)", "java"),
    ("f(a=(A) b)", "java"),
    ("f(true, a=1)", "java"),
    ("(f(a=1))", "java"),
]


@pytest.mark.parametrize(("text", "language"), ONLY_ONE)
def test_what_only_one_language_has(text: str, language: Language) -> None:
    assert [one for one in BOTH if source_calls(text, one)] == [language]


def test_a_reply_is_read_in_the_language_of_its_functions() -> None:
    def java(text: str) -> tuple[Call, ...]:
        return source_calls(text, "java")

    found = read_calls("```java\n[f(a=5)]\n```", java)
    assert (found.calls, found.form, found.error) == ((Call(name="f", arguments={"a": "5"}),), "source", None)
    tagged = read_calls('<tool_call>{"name": "f", "arguments": {"a": "5"}}</tool_call>', java)
    assert (tagged.calls, tagged.form) == (found.calls, "tags")
    assert read_calls("[f(a=[5])]", java).error == "a call that cannot be read"
    assert read_calls("[f(a=[5])]").calls == (Call(name="f", arguments={"a": [5]}),)
    assert read_calls("No function fits.", java).error is None


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}", fullmatch=True),
        st.text(st.characters(blacklist_characters='"\\', blacklist_categories=("Cs",))),
        max_size=3,
    )
)
def test_quoted_texts_come_back(arguments: dict[str, str]) -> None:
    written = ", ".join(f'{key}="{value}"' for key, value in arguments.items())
    for language in BOTH:
        assert source_calls(f"[f({written})]", language) == (Call(name="f", arguments=arguments),)


GIANTS = [
    "(" * 9_000 + ")" * 9_000,
    "1, a=1" * 3_000, "{" * 9_000 + "}", "new A<" * 3_000, "{b: " * 2_000 + "1" + "}" * 2_000,
    "/x" * 9_000, "[" * 19_000, "a=" * 9_000, "'" + "\\" * 19_000, "/*" * 9_000, "new " * 4_500, "/[" * 9_000,
]  # fmt: skip


def test_hostile_texts_neither_crash_nor_hang() -> None:
    slowest_s = 0.0
    for text in (*GIANTS, *hostile_texts(10_000)):
        for language in BOTH:
            for whole in (text, f"f(a={text})"):
                started_s = time.perf_counter()
                assert len(source_calls(whole, language)) <= 1
                slowest_s = max(slowest_s, time.perf_counter() - started_s)
    assert slowest_s < 2
