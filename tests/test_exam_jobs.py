"""WattBot and GPQA from the command to the store, with a real model and rows of our own."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from wattrack.metrics.rows import METRICS

pytestmark = pytest.mark.slow

SMALL = ("model=demo_xs", "limit=10", "probe_questions=2", "hardware.threads=1")


def write(file: Path, rows: list[dict[str, str]]) -> None:
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def finished(outputs: Path, experiment: str) -> Run:
    client = mlflow.MlflowClient(f"sqlite:///{outputs}/mlruns/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    run = client.search_runs([found.experiment_id], "tags.`wattrack.kind` = 'job'")[0]
    assert run.info.status == "FINISHED"
    assert {name for name in run.data.metrics if not name.startswith("system/")} <= set(METRICS)
    assert run.data.tags["plausibility.references_score"].startswith("ok")
    assert run.data.metrics["quality/n"] == 10
    return run


@pytest.mark.parametrize("protocol", ["closed", "oracle"])
def test_wattbot(run_here: Callable[..., int], outputs: Path, protocol: str) -> None:
    rows = [
        {"id": f"w{n}", "question": f"How many apples has Tom, who buys {n} and 2?",
         "answer_value": str(n + 2) if n > 1 else "", "answer_unit": "apples", "ref_id": "['doe2021']" if n > 1 else ""}
        for n in range(10)
    ]  # fmt: skip
    write(outputs / "train_QA.csv", rows)
    (outputs / "corpus").mkdir()
    (outputs / "corpus" / "doe2021.json.gz").write_bytes(gzip.compress(json.dumps({"text": "Tom. " * 100}).encode()))
    short = f"dataset.protocols.{protocol}.prompt.max_new_tokens=16"
    assert (
        run_here(*SMALL, "dataset=wattbot", f"dataset.data_dir={outputs}", f"dataset.protocol={protocol}", short) == 0
    )
    metrics = finished(outputs, "wattbot").data.metrics
    assert metrics["quality/wattbot_value"] == metrics["quality/score"] >= 0.2, "the two unanswerable ones"
    assert metrics["quality/wattbot_na_recall_strict"] <= metrics["quality/wattbot_na_recall"]
    parts = (metrics[f"quality/wattbot_{name}"] for name in ("value", "ref", "na_recall"))
    overall = sum(weight * part for weight, part in zip((0.75, 0.15, 0.10), parts, strict=True))
    assert metrics["quality/wattbot_overall"] == pytest.approx(overall, rel=1e-4)  # five digits are stored


@pytest.mark.parametrize(("protocol", "metric"), [("chat", "letter_flexible"), ("base0", "acc")])
def test_gpqa(run_here: Callable[..., int], outputs: Path, protocol: str, metric: str) -> None:
    wrong = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
    rows = [
        {"Record ID": f"rec{n}", "Question": f"What is {n} + 2?", "Correct Answer": f"{n + 2}",
         **{name: f"{n + 3 + i}" for i, name in enumerate(wrong)}, "High-level domain": "Physics"}
        for n in range(12)
    ]  # fmt: skip
    write(outputs / "gpqa_diamond.csv", rows)
    short = "dataset.protocols.chat.prompt.max_new_tokens=16"
    assert run_here(*SMALL, "dataset=gpqa", f"dataset.data_dir={outputs}", f"dataset.protocol={protocol}", short) == 0
    metrics = finished(outputs, "gpqa").data.metrics
    assert 0 <= metrics[f"quality/{metric}"] == metrics["quality/score"] <= 1
