"""MT-Bench's rows: as their authors publish them, and malformed."""

import json
from collections import Counter
from pathlib import Path

import pytest

from support import CHECKOUT, Compose, flat_response
from wattrack.errors import DatasetError
from wattrack.schema import Request
from wattrack.settings import build
from wattrack.tasks.mt_bench import CATEGORIES, WITH_REFERENCE, read, score, to_sample

ROW = {"question_id": 111, "category": "math", "turns": ["What is 2 + 3?", "And twice that?"]}
REAL = CHECKOUT.parent / "shared" / "data" / "mt_bench"


def test_the_judge_models_answers_are_the_references(tmp_path: Path) -> None:
    rows = [{**ROW, "reference": ["5", "10"]}, {**ROW, "question_id": 112, "reference": ["five", "ten"]}]
    (tmp_path / "question.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), "utf-8")
    assert [r["reference"] for _, r in read(tmp_path, "train")] == [["5", "10"], ["five", "ten"]]
    answer = {"question_id": 111, "choices": [{"index": 0, "turns": ["It is 5.", "It is 10."]}]}
    (tmp_path / "reference_answer_gpt-4.jsonl").write_text(json.dumps(answer) + "\n", "utf-8")
    first, second = [to_sample("train-00000", row) for _, row in read(tmp_path, "train")]
    assert (first.id, first.group, first.target) == ("111", "math", "")
    assert first.data == {"turns": ROW["turns"], "references": ["It is 5.", "It is 10."]}
    assert second.data["references"] == ["five", "ten"]


def test_only_three_categories_have_references() -> None:
    for category in CATEGORIES:
        sample = to_sample("0", {**ROW, "category": category, "reference": ["a", "b"]})
        assert bool(sample.data["references"]) is (category in WITH_REFERENCE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"turns": ["one"]}, "`turns` must be two texts"),
        ({"turns": "ab"}, "`turns` must be two texts"),
        ({"turns": ["one", 2]}, "`turns` must be two texts"),
        ({"category": "poetry"}, "`category` must be one of writing"),
        ({"category": None}, "category"),
        ({"reference": ["one"]}, "`reference` must be a text for each turn"),
    ],
)
def test_malformed_rows(change: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        to_sample("0", {**ROW, **change})


def test_malformed_files(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"question\.jsonl is not there"):
        read(tmp_path, "train")
    (tmp_path / "question.jsonl").write_text(json.dumps(ROW), "utf-8")
    (tmp_path / "reference_answer_gpt-4.jsonl").write_text('{"question_id": 111, "choices": []}', "utf-8")
    with pytest.raises(DatasetError, match=r"gpt-4.jsonl:1: expected question_id and choices"):
        read(tmp_path, "train")


@pytest.mark.parametrize(("text", "answer"), [(" Yes. \n", "Yes."), ("", None), (" \n", None), ("[[10]]", "[[10]]")])
def test_no_text_is_graded_without_a_judge(text: str, answer: str | None) -> None:
    response = flat_response(
        sample_id="0", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1
    )  # fmt: skip
    verdict = score(to_sample("0", ROW), response)
    assert verdict.value != verdict.value, "not a number"
    assert (verdict.answer, verdict.metrics) == (answer, {})


@pytest.mark.skipif(not REAL.is_dir(), reason="the verification rows are not beside this checkout")
def test_the_real_rows(composed: Compose) -> None:
    task = build.task(composed("dataset=mt_bench", f"dataset.data_dir={REAL}"))
    questions = task.questions(None, 0, 1)
    assert (questions.facts.rows, len(questions.samples), len(questions.requests)) == (80, 160, 160)
    assert Counter(s.group for s in questions.samples) == dict.fromkeys(CATEGORIES, 20)
    assert {s.group for s in questions.samples if s.data["references"]} == set(WITH_REFERENCE)
    assert sum(bool(s.data["references"]) for s in questions.samples) == 60
    by_group = {
        s.group: r.generation.temperature
        for s, r in zip(questions.samples, questions.requests, strict=True)
        if isinstance(r, Request)
    }
    hot = {"writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1}
    assert by_group == {category: hot.get(category, 0.0) for category in CATEGORIES}
    assert len({s.group for s in task.questions(8, 0, 1).samples}) == 8, "a limit takes every category alike"
