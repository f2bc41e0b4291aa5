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
from tracking.examples import runs_frame
from wattrack.comparison.sweep_description import sweep_description
from wattrack.comparison.sweep_table import sweep_table, sweep_tables
from wattrack.results.columns import metric, param, tag
from wattrack.results.conditions import THROUGHPUT
from wattrack.results.question_sets import by_questions
from wattrack.results.tables import job_table, number, score
from wattrack.results.varied import SWEPT
from wattrack.tracking import sweep_plots
from wattrack.tracking.tables import comparison_frame


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
        assert name in text(job_table("x", {name: 0.5})), f"{name}: its row in METRICS has no JobTable"


def test_sweep_table_is_sorted_by_score_with_failures_last() -> None:
    def run(model: str, status: str, value: float | None) -> dict[str, object]:
        metrics = {f"metrics.quality/score{p}": value for p in ("", "_ci_low", "_ci_high")}
        params = {"params.model": model, "params.dataset": "d", "params.preset": "p"}
        return {"status": status, **params, **metrics, "metrics.energy/measured_wh": None}

    runs = pd.DataFrame([run("low", "FINISHED", 0.2), run("bad", "FAILED", None), run("high", "FINISHED", 0.9)])
    lines = text(sweep_table(runs)).splitlines()
    order = [next(i for i, line in enumerate(lines) if name in line) for name in ("high", "low", "bad")]
    assert order == sorted(order)
    assert "failed" in lines[order[2]]
    assert "J/correct" not in "\n".join(lines)  # a column that nobody measured is not shown


def swept_runs() -> pd.DataFrame:
    values = {f"metrics.quality/score{p}": 0.5 for p in ("", "_ci_low", "_ci_high")}
    measured = {
        "metrics.throughput/output_tokens_per_s": 1234.5, "metrics.throughput/questions_per_s": 12.3,
        "metrics.throughput/rows_mean": 15.6,
        "metrics.memory/rss_added_gib": 0.123, "metrics.energy/codecarbon_wh": 0.0985, "metrics.time/total_s": 12.7,
    }  # fmt: skip
    same = {
        "params.model": "qwen1_5b",
        "params.dataset": "gsm8k",
        "params.preset": "balanced",
        "status": "FINISHED",
        tag(THROUGHPUT): "mode=shared",
        **values,
        **measured,
    }
    asked = [("fp32", "8"), ("fp32", "16"), ("bf16", "8"), ("bf16", "16")]
    return pd.DataFrame(
        [
            {**same, "run_id": d + n, "params.preset/dtype": d, "params.limit": n, tag(SWEPT): "preset.dtype,limit"}
            for d, n in asked
        ]
    )


def test_a_sweep_table_shows_what_was_varied() -> None:
    lines = text(sweep_table(swept_runs()))
    assert "Comparison of gsm8k, balanced, sorted by score" in lines and "limit" in lines
    assert len({line for line in lines.splitlines() if "qwen1_5b" in line}) == 4
    assert list(sweep_plots.plot_data(swept_runs())["label"])[1] == "qwen1_5b · fp32 · limit 16"
    assert "| qwen1_5b | gsm8k |" in (told := sweep_description(swept_runs())) and "| fp32 | 16 |" in told


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
    runs = pd.DataFrame([{"params.model": "a", "params.dataset": "d", "params.preset": "p", "status": "FAILED"}])
    assert "failed" in text(sweep_table(runs))


def asked(dataset: str, protocol: str, digest: str, **more: object) -> pd.DataFrame:
    settings = {"dataset": dataset, "dataset/protocol": protocol, "preset": "balanced", **more}
    labels = {"wattrack.protocol": f"{dataset}/{protocol}@1", "wattrack.dataset_digest": digest}
    return runs_frame().assign(**{param(k): v for k, v in settings.items()}, **{tag(k): v for k, v in labels.items()})


def two_datasets() -> pd.DataFrame:
    best = {metric(f"quality/score{part}"): 0.99 for part in ("", "_ci_low", "_ci_high")}
    failed = {"run_id": "f", "name": "f", "status": "FAILED", param("model"): "broken", param("dataset"): "words"}
    failed |= {param("dataset/protocol"): "chat", param("preset"): "balanced"}
    runs = [asked("arithmetic", "chat", "aa" * 32), asked("words", "chat", "bb" * 32).assign(**best)]
    return pd.concat([*runs, pd.DataFrame([failed])], ignore_index=True)


def test_scores_of_different_datasets_are_in_tables_of_their_own() -> None:
    numbers, words = (text(table) for table in sweep_tables(two_datasets()))
    assert "Comparison of arithmetic, chat, balanced, sorted by score" in numbers and "99.0%" not in numbers
    assert "Comparison of words, chat, balanced, sorted by score" in words and words.count("99.0%") == 4 * 3
    assert "broken" in words and "broken" not in numbers, "a job that failed early stands with its dataset"
    told = sweep_description(two_datasets())
    assert told.index("**arithmetic, chat**") < told.index("demo_xs") < told.index("**words, chat**")
    assert told.startswith("Scores of different questions or protocols are not ranked")


def test_one_dataset_by_two_protocols_or_limits_is_two_tables() -> None:
    protocols = pd.concat([asked("words", name, "aa" * 32) for name in ("chat", "base")], ignore_index=True)
    assert [found.name for found in by_questions(protocols)] == ["words, chat", "words, base"]
    limits = pd.concat(
        [asked("words", "chat", digest * 32, limit=n).assign(**{tag(SWEPT): "limit"}) for digest, n in ("a8", "b9")],
        ignore_index=True,
    )
    assert [found.name for found in by_questions(limits)] == ["words, chat, limit 8", "words, chat, limit 9"]
    changed = pd.concat([asked("words", "chat", digest * 32) for digest in "ab"], ignore_index=True)
    assert [found.name for found in by_questions(changed)] == [f"words, chat, rows {d * 8}" for d in "ab"]


def test_the_stored_table_keeps_datasets_apart() -> None:
    table = comparison_frame(two_datasets())
    assert list(table["dataset"]) == ["arithmetic"] * 4 + ["words"] * 5
    assert list(table["model"])[:4] == ["demo_l", "demo_m", "demo_s", "demo_xs"] and table["model"][8] == "broken"


def test_every_dataset_has_plots_of_its_own(tmp_path: Path) -> None:
    sweep_plots.write_sweep_plots(tmp_path, two_datasets())
    plots = ("size_score", "size_energy", "score_energy", "comparison")
    names = {f"{name}_{dataset}_chat" for name in plots for dataset in ("arithmetic", "words")}
    assert {path.stem for path in tmp_path.glob("*.png")} == {path.stem for path in tmp_path.glob("*.csv")} == names
    assert set(pd.read_csv(tmp_path / "comparison_words_chat.csv")["quality/score"]) == {0.99}
