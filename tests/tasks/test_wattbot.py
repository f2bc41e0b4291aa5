"""WattBot's rows, prompts and scores on rows of our own, and on the published ones where they are."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from scorers.hostile import hostile_texts
from support import CHECKOUT, Compose, flat_response
from wattrack.errors import ConfigError, DatasetError
from wattrack.job import grading
from wattrack.metrics.rows import METRICS
from wattrack.schema import Record, Request, Response, Sample
from wattrack.settings import build, checks
from wattrack.tasks import wattbot
from wattrack.tasks.task import Task

DATA = CHECKOUT.parent / "shared" / "data" / "wattbot"
COLUMNS = ("id", "question", "answer", "answer_value", "answer_unit", "ref_id", "ref_url", "explanation")
ROWS = [
    ("w1", "How much power does the pump draw?", "7.5 kW", "7.5", "kW", "['doe2021']", "u", "Table"),
    ("w2", "True or False: it hums \"loudly\".", "TRUE", "1", "is_blank", "['doe2021','roe2022']", "u", "Fig"),
    ("w3", "What range is safe?", "10-20 %", "[10,20]", "percent", "roe2022", "u", "Quote"),
    ("w4", "How much does the moon pump draw?", "is_blank", "is_blank", "kW", "is_blank", "u", "is_blank"),
    ("w5", "How much does the sun pump draw?", "", "", "", "", "", ""),
    ("w6", "Which answer is in no list?", "None", "None", "NA", "['doe2021']", "u", "null"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with (tmp_path / "train_QA.csv").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *ROWS])
    (tmp_path / "corpus").mkdir()
    for name, text in (("doe2021", "Pumps draw 7.5 kW. " * 10), ("roe2022", "Safe. {question}")):
        content = json.dumps({"document_id": name, "title": name.upper(), "text": text}).encode()
        (tmp_path / "corpus" / f"{name}.json.gz").write_bytes(gzip.compress(content))
    return tmp_path


def built(composed: Compose, folder: Path, *overrides: str) -> Task:
    cfg = composed("dataset=wattbot", f"dataset.data_dir={folder}", "dataset.order=file", *overrides)
    checks.check(cfg)
    return build.task(cfg)


def asked(number: int) -> Sample:
    return wattbot.to_sample("", dict(zip(COLUMNS, ROWS[number], strict=True)))


def reply(text: str, error: str | None = None) -> Response:
    return flat_response(
        sample_id="", repeat=0, text=text, finish_reason="stop", input_tokens=1, output_tokens=1, error=error
    )


def answer(value: object, refs: object = "is_blank") -> str:
    return json.dumps({"answer_value": value, "ref_id": refs, "explanation": "so"})


def graded(task: Task, samples: list[Sample], replies: list[str]) -> tuple[list[Record], dict[str, float | None]]:
    """(records, the overall scores)."""
    records = [grading.record(s, reply(text), task.score) for s, text in zip(samples, replies, strict=True)]
    return records, dict(wattbot.aggregate(records))


def means(records: list[Record], name: str) -> float:
    values = [r.metrics[name] for r in records if name in r.metrics]
    return sum(values) / len(values)


def test_every_cell_is_read_as_text(composed: Compose, folder: Path) -> None:
    samples, facts = built(composed, folder).samples(None, 0)
    assert facts.rows == len(ROWS)
    assert [s.id for s in samples] == [row[0] for row in ROWS], "no byte-order mark in the first column's name"
    assert [s.data for s in samples] == [
        {"answer_value": row[3], "answer_unit": row[4], "ref_id": row[5]} for row in ROWS
    ]
    assert samples[0].question.endswith("draw? (Unit: kW)")
    assert samples[1].question.endswith('"loudly".')
    assert samples[5].question == ROWS[5][1], "NA is no unit"


def test_an_empty_cell_is_unanswerable_and_the_word_none_is_an_answer(composed: Compose, folder: Path) -> None:
    task = built(composed, folder)
    samples, _ = task.samples(None, 0)
    empty, none = (task.score(samples[i], reply(answer("12"))).metrics for i in (4, 5))
    assert (empty["wattbot_value"], empty["wattbot_na_recall"], empty["wattbot_value_strict"]) == (1, 0, 0)
    assert "wattbot_na_recall" not in none
    assert task.score(samples[4], reply(answer(""))).metrics["wattbot_na_recall"] == 1
    assert task.score(samples[5], reply(answer("none", "doe2021"))).metrics["wattbot_weighted"] == 1
    # A reader that guesses types would have made these cells not-a-number, which is not blank.
    guessed = wattbot.to_sample(
        "", {**dict(zip(COLUMNS, ROWS[4], strict=True)), "answer_value": "nan", "ref_id": "nan"}
    )
    assert "wattbot_na_recall" not in task.score(guessed, reply(answer("is_blank"))).metrics


def test_the_question_alone_and_the_question_with_its_documents(composed: Compose, folder: Path) -> None:
    closed = built(composed, folder).questions(None, 0, 1)
    oracle = built(composed, folder, "dataset.protocol=oracle").questions(None, 0, 1)
    texts = [[r.prompt[0].content for r in q.requests if isinstance(r, Request) and not isinstance(r.prompt, str)]
             for q in (closed, oracle)]  # fmt: skip
    assert not any("doe2021]" in text or "7.5 kW" in text for text in texts[0])
    assert ROWS[0][1] in texts[0][0]
    assert "[ref_id=doe2021] DOE2021\nPumps draw 7.5 kW. " in texts[1][0]
    assert "\n---\n[ref_id=roe2022] ROE2022\nSafe. {question}\n\nQuestion: True or False" in texts[1][1], "as it is"
    assert "(none)" in texts[1][3]
    assert "(none)" in texts[1][4]
    assert closed.facts.digest == oracle.facts.digest
    assert closed.prompt.sha256() != oracle.prompt.sha256()
    again = built(composed, folder, "dataset.protocol=oracle").questions(1, 0, 1)
    assert again.prompt.sha256() == oracle.prompt.sha256(), "whatever the limit"
    (folder / "corpus" / "roe2022.json.gz").unlink()
    (folder / "corpus" / "roe2022.json").write_text(json.dumps({"text": "Changed."}), "utf-8")
    changed = built(composed, folder, "dataset.protocol=oracle").questions(1, 0, 1)
    assert changed.prompt.sha256() != oracle.prompt.sha256(), "other documents are another run"


@pytest.mark.parametrize("budget", [0, 1, 10, 50, 60, 10_000])
def test_documents_share_a_budget(folder: Path, budget: int) -> None:
    sample = asked(1)
    text = wattbot.documents(sample, folder=folder, budget_chars=budget)
    first, second = (part.split("] ", 1)[1] for part in text.split("\n---\n"))
    whole = wattbot.documents(sample, folder=folder, budget_chars=10**9).split("\n---\n")
    assert len(first) + len(second) == min(budget, sum(len(part.split("] ", 1)[1]) for part in whole))
    assert whole[0].startswith(f"[ref_id=doe2021] {first}")
    assert whole[1] == f"[ref_id=roe2022] {second}" or budget < 60, "the short one is whole before the long one is"


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "corpus" / "doe2021.json.gz").unlink(), r"corpus/doe2021\.json\.gz in dataset\.data_dir"),
        (lambda f: (f / "corpus" / "doe2021.json.gz").write_bytes(b"no"), "cannot be read .* is it complete"),
        (lambda f: (f / "corpus" / "doe2021.json.gz").write_bytes(gzip.compress(b"{}")[:-4]), "is it complete"),
        (lambda f: (f / "corpus" / "doe2021.json.gz").write_bytes(gzip.compress(b"{}")[:10] + b"no"), "is it complete"),
        (lambda f: (f / "corpus" / "doe2021.json.gz").write_bytes(gzip.compress(b"[]")), "the document as `text`"),
    ],
)
def test_a_missing_document_is_named(folder: Path, break_it: Callable[[Path], object], message: str) -> None:
    break_it(folder)
    with pytest.raises(DatasetError, match=message):
        wattbot.documents(asked(0), folder=folder, budget_chars=100)


def test_bad_rows_and_settings_are_refused(composed: Compose, folder: Path) -> None:
    with (folder / "train_QA.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(ROWS[0])
    with pytest.raises(DatasetError, match=r"train_QA\.csv:8: the id w1 occurs twice; it is also at .*:2"):
        built(composed, folder).samples(1, 0)
    with pytest.raises(DatasetError, match=r"`answer_value` must be a text, got 7\.5"):
        wattbot.to_sample("", {"id": "w", "question": "?", "answer_value": 7.5, "answer_unit": "", "ref_id": ""})
    with pytest.raises(DatasetError, match=r"not on the hub; set dataset\.data_dir: the folder with train_QA\.csv"):
        build.task(composed("dataset=wattbot")).samples(1, 0)
    with pytest.raises(ConfigError, match=r"closed\.prompt\.context: goes with \{context\} in the template"):
        built(composed, folder, "dataset.protocols.closed.prompt.template='{context}{question}'")
    with pytest.raises(ConfigError, match=r"context\.budget_chars=-1: must be 0 or more"):
        wattbot.documents(
            wattbot.to_sample("", dict(zip(COLUMNS, ROWS[0], strict=True))), folder=folder, budget_chars=-1
        )
    completion = "dataset.protocols.oracle.prompt._target_=wattrack.prompts.completion.Completion"
    with pytest.raises(ConfigError, match=r"oracle\.prompt\.context: there is no such setting"):
        built(composed, folder, "dataset.protocol=oracle", completion)


REPLIES = [
    (answer("7.5", ["doe2021"]), ("7.5", '["doe2021"]')),
    ("```json\n" + answer(7.5, "doe2021") + "\n```", ("7.5", "doe2021")),
    ("Sources [1], {see below}: " + answer([10, 20]) + " Done.", ("[10, 20]", "is_blank")),
    ("As [doe2021] says, it is " + answer("x", "['doe2021']"), ("x", "['doe2021']")),
    (answer(None, None), ("is_blank", "is_blank")),
    (answer(True, []), ("true", "is_blank")),
    (answer("", ""), ("", "")),
    ('{"answer_value": "5"}', ("5", "is_blank")),
    ('{"x": 1} and then ' + answer("5") + " or {so}", ("5", "is_blank")),
    ('I say: {"explanation": "as {x} is", "answer_value": "5"} [1]', ("5", "is_blank")),
    ('{"answer": "5", "ref_id": "a"}', None),
    ('{"answer_value": "5", "ref_id": ["a"', None),
    ('["answer_value"]', None),
    ("7.5", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "cells"), REPLIES)
def test_how_a_reply_is_read(text: str, cells: tuple[str, str] | None) -> None:
    assert wattbot.read_cells(text) == cells


def test_hostile_replies_have_a_score(composed: Compose, folder: Path) -> None:
    task = built(composed, folder)
    samples, _ = task.samples(None, 0)
    for number, text in enumerate(hostile_texts(100)):
        sample = samples[number % len(samples)]
        score = task.score(sample, reply(text))
        assert set(score.metrics) == set(task.score(sample, reply("")).metrics), "the same questions in every mean"
        assert all(0 <= value <= 1 for value in score.metrics.values())
        assert {f"quality/{name}" for name in score.metrics} <= set(METRICS)


def test_the_overall_score_is_no_mean_over_questions(composed: Compose, folder: Path) -> None:
    task = built(composed, folder)
    samples, _ = task.samples(None, 0)
    right = [answer(row[3], row[5]) for row in ROWS]
    records, overall = graded(task, samples, right)
    assert overall == {"wattbot_overall": pytest.approx(1), "wattbot_overall_strict": pytest.approx(1)}
    records, overall = graded(task, samples, [answer("is_blank")] * 6)
    assert (means(records, "wattbot_value"), means(records, "wattbot_na_recall")) == (2 / 6, 1)
    assert means(records, "wattbot_ref") == pytest.approx(1 / 6), "the empty cell is no is_blank"
    assert overall["wattbot_overall"] == pytest.approx(0.75 / 3 + 0.15 / 6 + 0.10)
    assert overall["wattbot_overall_strict"] == pytest.approx(0.75 / 3 + 0.15 / 6 + 0.10)
    records, overall = graded(task, samples, [answer("1", ["doe2021"])] * 6)
    assert means(records, "wattbot_value") == 3 / 6, "one right and two that cannot be wrong"
    assert overall["wattbot_overall"] == pytest.approx(0.75 * 3 / 6 + 0.15 * 2.5 / 6)
    assert overall["wattbot_overall_strict"] == pytest.approx(0.75 / 6 + 0.15 * 2.5 / 6)
    weighted = means(records, "wattbot_weighted")
    assert weighted == pytest.approx(0.75 * 3 / 6 + 0.15 * 2.5 / 6 + 0.10 * 4 / 6)
    assert "not wattbot_overall" in METRICS["quality/wattbot_weighted"].meaning
    records, overall = graded(task, samples, ["no idea"] * 6)
    assert (means(records, "wattbot_na_recall"), means(records, "wattbot_na_recall_strict")) == (1, 0)
    assert overall["wattbot_overall"] == pytest.approx(0.75 / 3 + 0.15 / 6 + 0.10), "a blank prediction, as upstream"
    assert overall["wattbot_overall_strict"] == 0
    assert all(r.answer is None for r in records)


def test_without_unanswerable_questions_the_strict_overall_is_not_known(composed: Compose, folder: Path) -> None:
    task = built(composed, folder)
    _, overall = graded(task, task.samples(1, 0)[0], [answer("7.5", "doe2021")])
    assert overall == {"wattbot_overall": pytest.approx(1.0), "wattbot_overall_strict": None}
    assert wattbot.aggregate([]) == {"wattbot_overall": None, "wattbot_overall_strict": None}


def test_a_number_inside_the_range_is_reported(composed: Compose, folder: Path) -> None:
    task = built(composed, folder)
    samples, _ = task.samples(None, 0)
    metrics = task.score(samples[2], reply(answer("about 15%"))).metrics
    assert (metrics["wattbot_in_range"], metrics["wattbot_value"], metrics["wattbot_value_strict"]) == (1, 0, 0)
    metrics = task.score(samples[2], reply(answer("15"))).metrics
    assert (metrics["wattbot_in_range"], metrics["wattbot_value"], metrics["wattbot_value_strict"]) == (1, 1, 0)
    assert "wattbot_in_range" not in task.score(samples[0], reply(answer("15"))).metrics


def test_a_failed_question_counts_as_wrong_everywhere(composed: Compose, folder: Path) -> None:
    task = built(composed, folder)
    for sample in task.samples(None, 0)[0]:
        assert set(task.score(sample, reply("", error="out of memory")).metrics.values()) == {0.0}


def test_the_references_satisfy_their_scorer(composed: Compose, folder: Path) -> None:
    task = built(composed, folder)
    samples, _ = task.samples(None, 0)
    assert grading.references(samples, task.score) == (0, 6)
    assert all(task.score(s, reply(s.target)).metrics["wattbot_weighted"] == 1 for s in samples)


BASELINES = {
    # reply -> values right, mean ref, na_recall, overall; strict values right, overall
    "blank": (2, 2 / 41, 1.0, 0.14390243902439026, 2, 0.14390243902439026),
    "one": (9, 0.08536585365853659, 0.0, 0.17743902439024392, 7, 0.14085365853658538),
    "truth": (41, 1.0, 1.0, 1.0, 41, 1.0),
}


@pytest.mark.skipif(not DATA.is_dir(), reason="the published rows are not beside the checkout")
@pytest.mark.parametrize("name", BASELINES)
def test_baselines_on_the_published_rows(composed: Compose, name: str) -> None:
    task = built(composed, DATA)
    samples, facts = task.samples(None, 0)
    assert facts.rows == 41
    replies = {
        "blank": [answer("is_blank")] * 41,
        "one": [answer("1", ["patterson2021"])] * 41,
        "truth": [answer(s.data["answer_value"], s.data["ref_id"]) for s in samples],
    }
    records, overall = graded(task, samples, replies[name])
    right, ref, na, published, strict, overall_strict = BASELINES[name]
    assert sum(r.metrics["wattbot_value"] for r in records) == right
    assert means(records, "wattbot_ref") == pytest.approx(ref, abs=1e-12)
    assert means(records, "wattbot_na_recall") == na
    assert sum(r.metrics["wattbot_value_strict"] for r in records) == strict
    assert overall["wattbot_overall"] == pytest.approx(published, abs=1e-12)
    assert overall["wattbot_overall_strict"] == pytest.approx(overall_strict, abs=1e-12)


@pytest.mark.skipif(not DATA.is_dir(), reason="the published rows are not beside the checkout")
def test_every_published_question_has_its_documents(composed: Compose) -> None:
    questions = built(composed, DATA, "dataset.protocol=oracle").questions(None, 0, 1)
    lengths = [len(str(r.prompt)) for r in questions.requests if isinstance(r, Request)]
    assert len(lengths) == 41
    assert sum(length < 2_000 for length in lengths) == 2, "the unanswerable ones name no document"


def test_the_form_is_the_whole_reply_as_one_object(composed: Compose, folder: Path) -> None:
    task = built(composed, folder)
    sample = task.samples(None, 0)[0][0]
    replies = {answer("12"): 1, f"Sure: {answer('12')}": 0, '{"answer_value": "12"}': 0, '["answer_value"]': 0, "": 0}
    for text, asked in replies.items():
        assert task.score(sample, reply(text)).metrics["format_compliance"] == asked
