"""Rows of the leaderboard from files like the authors', scored and summarised by category."""

import json
from pathlib import Path

import pytest

from support import Compose, flat_response
from wattrack.errors import DatasetError
from wattrack.job.grading import references
from wattrack.metrics.rows import METRICS
from wattrack.schema import Record, Request, Response, Sample
from wattrack.settings import build, checks
from wattrack.tasks import bfcl
from wattrack.tasks.task import Task

F = {
    "name": "m.f",
    "description": "d",
    "parameters": {"type": "dict", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
}
TURN = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Do it."}]


def write(folder: Path, category: str, row: dict[str, object], truth: list[object] | None) -> None:
    (folder / "possible_answer").mkdir(exist_ok=True)
    (folder / f"BFCL_v4_{category}.json").write_text(json.dumps(row) + "\n", "utf-8")
    if truth is not None:
        answer = {"id": row["id"], "ground_truth": truth}
        (folder / "possible_answer" / f"BFCL_v4_{category}.json").write_text(json.dumps(answer) + "\n", "utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for category in bfcl.CATEGORIES:
        row = {"id": f"{category}_0", "question": [TURN], "function": [F]}
        write(tmp_path, category, row, None if "relevance" in category else [{"m.f": {"a": [1]}}])
    return tmp_path


def built(composed: Compose, folder: Path, *overrides: str) -> Task:
    cfg = composed("dataset=bfcl", *overrides)
    cfg.dataset.data_dir = str(folder)
    checks.check(cfg)
    return build.task(cfg)


def answered(text: str) -> Response:
    return flat_response(sample_id="", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1)


def test_every_category_is_asked_with_its_functions(composed: Compose, folder: Path) -> None:
    questions = built(composed, folder).questions(None, 0, 1)
    assert {s.group for s in questions.samples} == set(bfcl.CATEGORIES)
    request = questions.requests[0]
    assert isinstance(request, Request)
    assert isinstance(request.prompt, tuple)
    assert [m.role for m in request.prompt] == ["system", "user"]
    described = request.tools[0]["function"]
    assert isinstance(described, dict)
    assert (described["name"], described["parameters"]["type"]) == ("m_f", "object")
    alone = built(composed, folder, "dataset.split=parallel").questions(None, 0, 1)
    assert [s.group for s in alone.samples] == ["parallel"]
    text = built(composed, folder, "dataset.protocol=prompt").questions(None, 0, 1).requests[0]
    assert isinstance(text, Request)
    assert text.tools == ()
    assert '"m.f"' in str(text.prompt[0])
    assert "Be brief." in str(text.prompt[0])


RIGHT, SOURCE, NONE, BROKEN = (
    '<tool_call>{"name": "m_f", "arguments": {"a": 1}}</tool_call>',
    '<tool_call>{"name": "m_f", "arguments": {"a": "1"}}</tool_call>',
    "No function fits.",
    "<tool_call>{",
)


@pytest.mark.parametrize(
    ("category", "text", "right"),
    [
        ("simple_python", RIGHT, 1), ("simple_python", "[m.f(a=1)]", 1), ("simple_python", "[m.f(a=2)]", 0),
        ("simple_python", NONE, 0), ("simple_python", "", 0), ("irrelevance", NONE, 1), ("irrelevance", RIGHT, 0),
        ("live_irrelevance", BROKEN, 1), ("live_irrelevance", "", 1), ("live_relevance", RIGHT, 1),
        ("live_relevance", "[other()]", 1), ("live_relevance", NONE, 0), ("live_relevance", "[]", 0),
        ("simple_java", SOURCE, 1), ("simple_java", RIGHT, 0), ("simple_java", "[m.f(a=1)]", 1),
        ("simple_java", "[m.f(a='1')]", 1), ("simple_java", "[m.f(a=2)]", 0), ("simple_java", NONE, 0),
        ("simple_javascript", SOURCE, 1), ("simple_javascript", RIGHT, 0), ("simple_javascript", "[m.f(a=1,)]", 1),
        ("simple_javascript", '[m.f(a="1")]', 1), ("simple_javascript", "[m.f(a=1.0)]", 0),
    ],
)  # fmt: skip
def test_golden_rows(composed: Compose, folder: Path, category: str, text: str, right: int) -> None:
    task = built(composed, folder, f"dataset.split={category}")
    score = task.score(task.samples(None, 0)[0][0], answered(text))
    assert score.value == score.metrics["bfcl_accuracy"] == score.metrics[f"bfcl_{category}"] == right
    assert score.metrics["call_unreadable"] == float(text == BROKEN)
    assert (score.answer is None) == (text == BROKEN)


def test_the_reference_is_a_reply_that_its_own_scorer_accepts(composed: Compose, folder: Path) -> None:
    task = built(composed, folder)
    samples = {s.group: s for s in task.samples(None, 0)[0]}
    assert samples["parallel"].target == '[{"name": "m.f", "arguments": {"a": 1}}]'
    assert samples["simple_java"].target == '[{"name": "m.f", "arguments": {"a": "1"}}]'
    assert (samples["irrelevance"].target, samples["live_relevance"].target) == ("no call", "")
    assert references(list(samples.values()), task.score) == (0, len(bfcl.CATEGORIES) - 1)


def record(category: str, value: float) -> Record:
    sample = Sample(id=category, question="", target="", group=category)
    return Record(
        id=sample.id,
        repeat=0,
        question="",
        output="",
        target="",
        answer=None,
        score=value,
        explanation="",
        group=category,
        metrics={f"bfcl_{category}": value},
        finish_reason="stop",
        error=None,
        input_tokens=1,
        output_tokens=1,
        latency_s=None,
        ttft_s=None,
        batch_size=1,
        prompt_text="",
        started_unix_ms=0,
    )


def test_the_summaries_weigh_as_the_leaderboard_does() -> None:
    ones = ("simple_python", "simple_java", "live_simple", "irrelevance")
    values = dict.fromkeys(bfcl.CATEGORIES, 0.0) | dict.fromkeys(ones, 1.0)
    records = [record(*item) for item in values.items()] + [record("simple_python", 0.0), record("live_simple", 1.0)]
    found = bfcl.aggregate(records)
    assert found["bfcl_simple"] == (0.5 + 1 + 0) / 3
    assert found["bfcl_non_live"] == 0.5 / 4
    assert found["bfcl_non_live_python"] == 0.5 / 4
    assert found["bfcl_live"] == 2 / 5
    assert found["bfcl_irrelevance_both"] == 0.5
    assert found["bfcl_single_turn"] == pytest.approx((0.125 + 0.4 + 0.5) / 3)
    without = bfcl.aggregate([r for r in records if r.group != "live_parallel"])
    assert (without["bfcl_live"], without["bfcl_single_turn"]) == (None, None)
    assert without["bfcl_non_live"] == 0.125


def test_without_java_the_leaderboards_non_live_is_not_known() -> None:
    values = dict.fromkeys(bfcl.CATEGORIES, 0.0) | {"simple_python": 1.0, "simple_javascript": 1.0}
    found = bfcl.aggregate([record(*item) for item in values.items() if item[0] != "simple_java"])
    assert (found["bfcl_simple"], found["bfcl_non_live"], found["bfcl_single_turn"]) == (None, None, None)
    assert found["bfcl_non_live_python"] == 0.25
    assert {f"quality/{name}" for name in found} <= set(METRICS)


def test_java_functions_are_shown_with_texts_and_judged_by_their_types(composed: Compose, tmp_path: Path) -> None:
    properties = {
        "a": {"type": "any", "description": "An a."},
        "b": {"type": "ArrayList", "items": {"type": "long"}, "description": "Some b."},
        "c": {"type": "HashMap"},
    }
    shown = {
        "name": "C.f",
        "description": "Does f.",
        "parameters": {"type": "dict", "properties": properties, "required": []},
    }
    truth = [{"C.f": {"a": ["x"], "b": [[1, 2]], "c": [{"k": [True]}, ""]}}]
    write(tmp_path, "simple_java", {"id": "simple_java_0", "question": [TURN], "function": [shown]}, truth)
    task = built(composed, tmp_path, "dataset.split=simple_java")
    asked = task.questions(None, 0, 1)
    request = asked.requests[0]
    assert isinstance(request, Request)
    assert request.tools[0] == {
        "type": "function",
        "function": {
            "name": "C_f",
            "description": "Does f. The function is written in Java 8.",
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {
                        "type": "string",
                        "description": "An a. This is a Java object of any type, given as a string.",
                    },
                    "b": {
                        "type": "string",
                        "description": "Some b. This is a Java ArrayList, given as a string. "
                        "Its elements are of type long and are no strings of their own.",
                    },
                    "c": {"type": "string", "description": "This is a Java HashMap, given as a string."},
                },
                "required": [],
            },
        },
    }
    right = "new ArrayList<Long>(Arrays.asList(1L, 2L))"
    for listed, filled, value in ((right, "true", 1.0), (right, "false", 0.0), ("new ArrayList<>()", "true", 0.0)):
        arguments = {"a": "x", "b": listed, "c": f'new HashMap<>() {{{{ put("k", {filled}); }}}}'}
        assert (
            task.score(asked.samples[0], answered(json.dumps({"name": "C_f", "arguments": arguments}))).value == value
        )


def test_javascript_objects_are_shown_with_their_entries(composed: Compose, tmp_path: Path) -> None:
    entries = {"k": {"type": "String", "description": "A k."}}
    properties = {"o": {"type": "dict", "properties": entries, "description": "An o."}}
    shown = {"name": "f", "description": "Does f.", "parameters": {"type": "dict", "properties": properties}}
    row = {"id": "simple_javascript_0", "question": [TURN], "function": [shown]}
    write(tmp_path, "simple_javascript", row, [{"f": {"o": [{"k": ["v"]}]}}])
    task = built(composed, tmp_path, "dataset.split=simple_javascript", "dataset.protocol=prompt")
    asked = task.questions(None, 0, 1)
    system = str(asked.requests[0])
    assert "The function is written in JavaScript." in system
    assert "This is a JavaScript dict, given as a string. Its entries, which are no strings" in system
    assert '"properties": {"k"' not in system
    assert task.score(asked.samples[0], answered("[f(o={k: 'V'})]")).value == 1.0
    assert task.score(asked.samples[0], answered("[f(o={k: 'W'})]")).value == 0.0


def test_absent_categories_are_told(composed: Compose, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for category in ("simple_java", "simple_javascript"):
        (folder / f"BFCL_v4_{category}.json").unlink()
    samples = built(composed, folder).samples(None, 0)[0]
    assert {s.group for s in samples} == set(bfcl.CATEGORIES) - {"simple_java", "simple_javascript"}
    assert "has no simple_java, simple_javascript; summaries that need them stay empty" in caplog.text


def test_what_is_missing_is_named(composed: Compose, folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected single_turn or one of simple_python, simple_java"):
        built(composed, folder, "dataset.split=memory").samples(1, 0)
    with pytest.raises(DatasetError, match=r"set dataset\.data_dir"):
        build.task(composed("dataset=bfcl")).samples(1, 0)
    (folder / "possible_answer" / "BFCL_v4_multiple.json").unlink()
    with pytest.raises(DatasetError, match="the answers of multiple are missing"):
        built(composed, folder).samples(1, 0)
    (folder / "BFCL_v4_simple_java.json").unlink()
    with pytest.raises(DatasetError, match=r"no BFCL_v4_simple_java\.jsonl there"):
        built(composed, folder, "dataset.split=simple_java").samples(1, 0)


UNKNOWN = [
    ("parallel", {"type": "char"}, "argument a has type 'char': expected one of string, integer"),
    ("simple_java", {"type": "Queue"}, "argument a has type 'Queue': expected one of byte, short"),
    ("simple_java", {"type": "Array"}, "argument a has type 'Array' of None: expected one of byte"),
    ("simple_java", {"type": "Array", "items": {"type": "Set"}}, "argument a has type 'Array' of 'Set'"),
    ("simple_javascript", {"type": "boolean"}, "argument a has type 'boolean': expected one of String, any"),
]


@pytest.mark.parametrize(("category", "details", "why"), UNKNOWN)
def test_an_unknown_type_is_refused(
    composed: Compose, tmp_path: Path, category: str, details: dict[str, object], why: str
) -> None:
    function = {**F, "parameters": {"properties": {"a": details}}}
    write(tmp_path, category, {"id": "x", "question": [TURN], "function": [function]}, [{}])
    with pytest.raises(DatasetError, match=why):
        built(composed, tmp_path, f"dataset.split={category}").samples(1, 0)
