"""The prompts suite: shipped cases whose every check can fail, and prompts of one's own in three file formats."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest

from support import Compose, flat_response
from wattrack.errors import DatasetError
from wattrack.schema import Response, Sample
from wattrack.scorers.checks import CATEGORIES, passes
from wattrack.settings import build
from wattrack.tasks.prompts import to_sample


def answered(sample: Sample, text: str) -> Response:
    return flat_response(
        sample_id=sample.id, repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1
    )


def test_the_shipped_cases_are_judged_by_checks_that_can_fail(composed: Compose) -> None:
    task = build.task(composed("dataset=prompts"))
    samples, facts = task.samples(None, 0)
    assert facts.rows >= 24
    assert len({s.id for s in samples}) == len({s.question for s in samples}) == facts.rows
    assert Counter(s.group for s in samples) == dict.fromkeys(CATEGORIES, facts.rows // 4)
    others = [s.target for s in samples] + ["I do not know.", "blue water waves snow cold Mars", "word " * 200]
    for sample in samples:
        right = task.score(sample, answered(sample, sample.target))
        assert right.value == right.metrics["checks_share"] == 1, (sample.id, right.explanation)
        for wrong in ("", "I do not know.", sample.question, "word " * 200):
            assert task.score(sample, answered(sample, wrong)).value == 0, (sample.id, wrong)
        checks = sample.data["checks"]
        assert isinstance(checks, dict)
        for kind, argument in checks.items():
            assert not all(passes(text, kind, argument) for text in others), (sample.id, kind)


def test_the_two_open_prompts_are_asked_and_not_scored(composed: Compose) -> None:
    for protocol in ("chat", "base"):
        task = build.task(composed("dataset=exo_prompts", f"dataset.protocol={protocol}"))
        samples, facts = task.samples(None, 0)
        assert (facts.rows, {s.id for s in samples}) == (2, {"explain_ai", "technology_poem"})
        for sample in samples:
            verdict = task.score(sample, answered(sample, "A machine that learns."))
            assert math.isnan(verdict.value) and verdict.metrics == {}


ROWS = [
    {"prompt": "Say hello."},
    {"id": "mine", "group": "sums", "prompt": "1 + 1?", "reference": "2", "checks": ""},
    {"prompt": "Where is the Eiffel Tower?", "reference": "Paris", "checks": None},
    {"prompt": "Two words.", "checks": {"words": {"max": 2}}, "reference": ""},
]


def _csv(rows: list[dict[str, object]]) -> str:
    names = ("id", "group", "prompt", "reference", "checks")
    cells = [[json.dumps(v) if isinstance(v, dict) else str(v or "") for v in map(row.get, names)] for row in rows]
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    return "\n".join([",".join(names), *quoted])


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_prompts_of_ones_own(composed: Compose, tmp_path: Path, ending: str) -> None:
    content = "\n".join(map(json.dumps, ROWS)) if ending == "jsonl" else _csv(ROWS)
    (tmp_path / f"prompts.{ending}").write_text(content, "utf-8")
    task = build.task(composed("dataset=prompts", f"dataset.data_dir={tmp_path}", "dataset.order=file"))
    free, number, city, short = task.samples(None, 0)[0]
    assert [s.id for s in (free, number, city)] == ["test-00000", "mine", "test-00002"]
    assert math.isnan(task.score(free, answered(free, "hello")).value)
    assert task.score(number, answered(number, "1 + 1 = 2")).value == 1
    assert task.score(number, answered(number, "3")).metrics == {"checks_all": 0, "checks_share": 0}
    assert task.score(city, answered(city, "It is in Paris.")).value == 1
    assert task.score(short, answered(short, "One two three")).value == 0


def test_a_text_file_has_one_prompt_a_line(composed: Compose, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Say hello.\n\n  Sing.\r\n", "utf-8")
    task = build.task(composed("dataset=prompts", f"dataset.data_dir={tmp_path}", "dataset.order=file"))
    assert [(s.question, s.target, s.data) for s in task.samples(None, 0)[0]] == [
        ("Say hello.", "", {}),
        ("Sing.", "", {}),
    ]


BAD = [
    ({"checks": {"words": {"max": 2}}}, "`prompt` must be"),
    ({"prompt": "x", "checks": ["words"]}, "`checks` must be an object"),
    ({"prompt": "x", "checks": "{"}, "`checks` is not valid JSON"),
    ({"prompt": "x", "checks": {"wrods": 1}}, "wrods must be one of exact, number"),
    ({"prompt": "x", "checks": {"regex": [".*"]}}, "do not match the empty text"),
    ({"prompt": "x", "reference": ["a"]}, "`reference` must be a text"),
]


@pytest.mark.parametrize(("row", "message"), BAD)
def test_a_bad_row_is_refused(row: dict[str, object], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        to_sample("x", row)


def test_an_id_stands_for_one_row(composed: Compose, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "y"}', "utf-8")
    task = build.task(composed("dataset=prompts", f"dataset.data_dir={tmp_path}"))
    with pytest.raises(DatasetError, match="the id a occurs twice"):
        task.samples(None, 0)
