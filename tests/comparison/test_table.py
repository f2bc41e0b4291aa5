"""Tables for the terminal: order, absent values, failed jobs."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from rich.console import Console
from rich.table import Table

from support import CHECKOUT
from wattrack.comparison.conditions import THROUGHPUT
from wattrack.comparison.sweep_table import sweep_table
from wattrack.comparison.table import job_table, number, score
from wattrack.comparison.varied import SWEPT
from wattrack.sweep.finalize import description as _description
from wattrack.tracking import sweep_plots


def text(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0.0, "0"),
        (1.0, "1"),
        (0.12345, "0.123"),
        (1234.5, "1,234"),
        (99.95, "100"),
        (1e-5, "1.00e-05"),
        (2.5e7, "2.50e+07"),
        (-0.5, "-0.5"),
    ],
)
def test_numbers_for_people(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_score_with_interval() -> None:
    metrics = {"quality/score": 0.5, "quality/score_ci_low": 0.4, "quality/score_ci_high": 0.6}
    assert score(metrics) == "50.0% [40.0%, 60.0%]"
    assert score({}) == "-"


def test_job_table_leaves_out_what_was_not_measured() -> None:
    shown = text(job_table("x", {"energy/measured_wh": None, "memory/rss_peak_gib": 0.5}))
    assert "energy/measured_wh" not in shown
    assert "memory/rss_peak_gib" in shown


def test_job_table_says_of_how_many_answers_or_that_nothing_was_scored() -> None:
    metrics = {"quality/score": 0.5, "quality/score_ci_low": 0.4, "quality/score_ci_high": 0.6, "quality/n": 30.0}
    assert re.search(
        r"50\.0% \[40\.0%, 60\.0%\]  95 % Wilson interval.*\nquality/n +30  questions", text(job_table("x", metrics))
    )
    unscored = text(job_table("x", {"quality/n": 60.0}))
    assert "Wilson" not in unscored and re.search(r"quality/score +-  not scored", unscored)


@pytest.mark.parametrize("file", sorted((CHECKOUT / "conf" / "dataset").glob("*.yaml")), ids=lambda file: file.stem)
def test_job_table_shows_every_headline(file: Path) -> None:
    protocols = yaml.safe_load(file.read_text("utf-8"))["protocols"].values()
    for name in {f"quality/{p['headline']}" for p in protocols} - {"quality/score"}:
        assert name in text(job_table("x", {name: 0.5})), f"{name}: add it to _JOB_ROWS"


def test_sweep_table_is_sorted_by_score_with_failures_last() -> None:
    def run(model: str, status: str, value: float | None) -> dict[str, object]:
        metrics = {f"quality/score{p}": value for p in ("", "_ci_low", "_ci_high")}
        return {"model": model, "dataset": "d", "preset": "p", "status": status, **metrics, "energy/measured_wh": None}

    runs = pd.DataFrame([run("low", "FINISHED", 0.2), run("bad", "FAILED", None), run("high", "FINISHED", 0.9)])
    lines = text(sweep_table(runs)).splitlines()
    order = [next(i for i, line in enumerate(lines) if name in line) for name in ("high", "low", "bad")]
    assert order == sorted(order)
    assert "failed" in lines[order[2]]
    assert "J/correct" not in "\n".join(lines)  # a column that nobody measured is not shown


def swept_runs() -> pd.DataFrame:
    values = {f"quality/score{p}": 0.5 for p in ("", "_ci_low", "_ci_high")}
    measured = {
        "throughput/output_tokens_per_s": 1234.5, "throughput/questions_per_s": 12.3, "throughput/rows_mean": 15.6,
        "memory/rss_added_gib": 0.123, "energy/codecarbon_wh": 0.0985, "time/total_s": 12.7,
    }  # fmt: skip
    same = {
        "model": "qwen1_5b",
        "dataset": "gsm8k",
        "preset": "balanced",
        "status": "FINISHED",
        THROUGHPUT: "mode=shared",
        **values,
        **measured,
    }
    asked = [("fp32", "8"), ("fp32", "16"), ("bf16", "8"), ("bf16", "16")]
    return pd.DataFrame(
        [{**same, "run_id": d + n, "preset/dtype": d, "limit": n, SWEPT: "preset.dtype,limit"} for d, n in asked]
    )


def test_a_sweep_table_shows_what_was_varied() -> None:
    lines = text(sweep_table(swept_runs()))
    assert "Comparison of gsm8k, balanced, sorted by score" in lines and "limit" in lines
    assert len({line for line in lines.splitlines() if "qwen1_5b" in line}) == 4
    assert list(sweep_plots.plot_data(swept_runs())["label"])[1] == "qwen1_5b · fp32 · limit 16"
    assert "| qwen1_5b | gsm8k |" in (told := _description(swept_runs().to_dict("records"))) and "| fp32 | 16 |" in told


def test_a_narrow_terminal_keeps_models_and_scores() -> None:
    table = sweep_table(swept_runs(), width=80)
    console = Console(file=io.StringIO(), width=80)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert shown.count("qwen1_5b │") == 4 and shown.count("50.0% [50.0%, 50.0%]") == 4
    assert "tok/s" in shown and "Too narrow for questions/s, total s" in shown
    assert "total s" in text(sweep_table(swept_runs(), width=200))


def test_a_sweep_without_any_score_still_has_a_table() -> None:
    runs = pd.DataFrame([{"model": "a", "dataset": "d", "preset": "p", "status": "FAILED"}])
    assert "failed" in text(sweep_table(runs))
