"""GPQA on rows of our own in the published schema: the order of choices, both protocols, the refusal without access."""

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from support import Compose
from wattrack.errors import DatasetError
from wattrack.job import grading
from wattrack.schema import ChoiceRequest, Request, Sample
from wattrack.settings import build, checks
from wattrack.tasks import gpqa
from wattrack.tasks.task import Task

COLUMNS = ("Record ID", "Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3",
           "High-level domain", "Canary String")  # fmt: skip
DOMAINS = ("Physics", "Chemistry", "Biology")


def row(number: int) -> dict[str, str]:
    texts = [f"[{number + i}] apples,\n{'AB'[i % 2]}{{question}}" for i in range(4)]
    values = (f"rec{number:03d}", f"How many apples are {number} + 0?", *texts, DOMAINS[number % 3], "canary")
    return dict(zip(COLUMNS, values, strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with (tmp_path / "gpqa_diamond.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(map(row, range(120)))
    return tmp_path


def built(composed: Compose, folder: Path, *overrides: str) -> Task:
    cfg = composed("dataset=gpqa", f"dataset.data_dir={folder}", *overrides)
    checks.check(cfg)
    return build.task(cfg)


def test_the_order_depends_on_seed_and_texts_alone(composed: Compose, folder: Path) -> None:
    samples = {s.id: s for s in built(composed, folder).samples(None, 0)[0]}
    assert len(samples) == 120
    for number in range(120):
        sample = samples[f"rec{number:03d}"]
        assert sample.group == DOMAINS[number % 3]
        assert sample.choices[sample.labels.index(sample.target)] == row(number)["Correct Answer"], "brackets stay"
        assert sorted(sample.choices) == sorted(row(number)[name] for name in COLUMNS[2:6])
        wrong = row(number)
        wrong["Incorrect Answer 1"], wrong["Incorrect Answer 3"] = (
            wrong["Incorrect Answer 3"],
            wrong["Incorrect Answer 1"],
        )
        assert gpqa.to_sample("elsewhere", wrong, seed=0) == sample
    shares = Counter(s.target for s in samples.values())
    assert set(shares) == {"(A)", "(B)", "(C)", "(D)"}
    assert min(shares.values()) > 15, "no letter is a good guess"
    other = {s.id: s for s in built(composed, folder, "dataset.to_sample.seed=1").samples(None, 0)[0]}
    assert sum(other[i].choices != samples[i].choices for i in samples) > 80
    assert {s.id: s for s in built(composed, folder).samples(7, 3)[0]}.items() <= samples.items()


def test_equal_texts_keep_one_right_label() -> None:
    same = {**row(1), "Incorrect Answer 2": row(1)["Correct Answer"]}
    sample = gpqa.to_sample("q", same, seed=0)
    assert sample.choices[sample.labels.index(sample.target)] == same["Correct Answer"]


def test_both_prompts_to_the_character(composed: Compose, folder: Path) -> None:
    chat = built(composed, folder).questions(1, 0, 1)
    sample = chat.samples[0]
    options = "\n".join(f"{label} {choice}" for label, choice in zip(sample.labels, sample.choices, strict=True))
    request = chat.requests[0]
    assert isinstance(request, Request)
    assert not isinstance(request.prompt, str)
    assert [m.content for m in request.prompt] == [
        f"{sample.question}\n\n{options}\n\n"
        "Think step by step. End with one line that says 'Answer: X', where X is A, B, C or D."
    ]
    base = built(composed, folder, "dataset.protocol=base0").questions(1, 0, 1)
    assert base.samples == chat.samples
    asked = base.requests[0]
    assert isinstance(asked, ChoiceRequest)
    assert {c.context for c in asked.candidates} == {
        f"What is the correct answer to this question:{sample.question}\nChoices:\n{options}\nAnswer:"
    }
    assert [c.continuation for c in asked.candidates] == [" (A)", " (B)", " (C)", " (D)"]


@pytest.mark.parametrize("protocol", ["chat", "base0"])
def test_the_references_satisfy_their_scorer(composed: Compose, folder: Path, protocol: str) -> None:
    task = built(composed, folder, f"dataset.protocol={protocol}")
    samples, _ = task.samples(None, 0)
    assert grading.references(samples, task.score) == (0, 20)


def test_rows_as_the_hub_gives_them_and_bad_ones(composed: Compose, tmp_path: Path) -> None:
    bare: dict[str, object] = {name: value for name, value in row(5).items() if name in COLUMNS[1:6]}
    (tmp_path / "train.jsonl").write_text(json.dumps(bare) + "\n", "utf-8")
    sample: Sample = built(composed, tmp_path).samples(None, 0)[0][0]
    assert (sample.id, sample.group) == ("train-00000", None)
    (tmp_path / "train.jsonl").write_text(json.dumps({**bare, "Incorrect Answer 2": None}) + "\n", "utf-8")
    with pytest.raises(
        DatasetError, match=r"train\.jsonl:1: `Incorrect Answer 2` must be a non-empty string, got None"
    ):
        built(composed, tmp_path).samples(None, 0)


def test_another_set_is_never_read_from_the_diamonds(composed: Compose, folder: Path) -> None:
    task = built(composed, folder, "dataset.hub_config=gpqa_main")
    with pytest.raises(DatasetError, match=r"gpqa_main\.\* is there"):
        task.samples(None, 0)
    (folder / "gpqa_diamond.csv").rename(folder / "gpqa_main.csv")
    assert len(task.samples(None, 0)[0]) == 120
