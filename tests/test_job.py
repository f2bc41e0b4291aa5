"""A job from the command to the store, with real models: what is written, and what happens when things go wrong."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run

from wattrack import cli
from wattrack.journal import read_journal
from wattrack.metrics.rows import METRICS
from wattrack.runs.read import load_run
from wattrack.sweep import plan

Runner = Callable[..., int]


def runs(outputs: Path, experiment: str = "arithmetic", kind: str = "job") -> list[Run]:
    client = mlflow.MlflowClient(f"sqlite:///{outputs}/mlruns/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id], f"tags.`wattrack.kind` = '{kind}'"))


def folders(outputs: Path) -> list[Path]:
    return sorted(p.parent for p in (outputs / "multirun").rglob("summary.json"))


def test_one_job_leaves_everything(run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("model=demo_xs", "limit=12", "probe_questions=3") == 0
    (run,) = runs(outputs)
    (folder,) = folders(outputs)
    assert run.info.status == "FINISHED"

    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary["status"] == "FINISHED"
    assert summary["mlflow_run_id"] == run.info.run_id
    assert summary["run_key"] == run.data.tags["wattrack.run_key"]

    metrics = {k: v for k, v in run.data.metrics.items() if not k.startswith("system/")}
    assert set(metrics) <= set(METRICS)
    for name in (
        "quality/score", "quality/score_ci_low", "quality/n", "throughput/output_tokens_per_s", "latency/ttft_s_p50",
        "tokens/input", "tokens/output", "tokens/computed", "memory/rss_peak_gib", "energy/codecarbon_wh",
        "time/load_s", "time/warmup_s", "time/generate_s", "time/probe_s", "time/score_s", "time/total_s",
    ):  # fmt: skip
        assert name in metrics, name
    assert metrics["quality/n"] == 12
    assert "carbon/co2e_g" not in metrics  # no intensity is configured
    assert any(k.startswith("system/") for k in run.data.metrics)

    responses = read_journal(folder / "responses.jsonl")
    records = pd.read_parquet(folder / "records.parquet")
    assert len(responses) == len(records) == 12
    assert records["score"].mean() == pytest.approx(summary["metrics"]["quality/score"])
    assert metrics["tokens/output"] == sum(r.usage.output_tokens for r in responses)
    assert metrics["tokens/input"] == sum(r.usage.input_tokens for r in responses)

    assert run.data.params["model"] == "demo_xs"
    assert run.data.params["preset/dtype"] == "auto"
    assert run.data.params["effective/dtype"] in ("fp32", "bf16")
    for tag in ("energy.source.gpu", "energy.source.cpu", "energy.source.codecarbon", "mlflow.note.content"):
        assert tag in run.data.tags, tag
    printed = capsys.readouterr()
    assert "12/12" in printed.out
    assert "quality/score" in printed.out
    assert printed.err == ""


def test_answers_that_failed_are_counted_and_the_first_says_why(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("model.context_length=60", "dataset.protocols.chat.prompt.max_new_tokens=10")
    assert run_here("model=demo_xs", "limit=12", "probe_questions=0", *short) == 0
    (run,) = runs(outputs)
    failed = round(12 * run.data.metrics["quality/error_rate"])
    assert 0 < failed < 12
    why = r"prompt of \d+ tokens \+ 10 new exceeds the context of 60"
    assert re.search(rf"{failed} of 12 answers failed; the first \(test-\d+\): {why}", capsys.readouterr().out)


def test_a_failing_job_does_not_stop_the_sweep(
    run_here: Runner, outputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    hollow = tmp_path / "hollow"
    hollow.mkdir()
    (hollow / "config.json").write_text("{}", "utf-8")
    (tmp_path / "model" / "hollow.yaml").write_text(f"name: hollow\nid: {hollow}\nparams_b: 1\n", "utf-8")
    code = run_here("--config-dir", str(tmp_path), "-m", "model=hollow,demo_xs", "limit=4", "probe_questions=0")
    assert code == 1
    assert {r.data.params["model"]: r.info.status for r in runs(outputs)} == {
        "hollow": "FAILED",
        "demo_xs": "FINISHED",
    }
    printed = capsys.readouterr()
    assert "hollow · arithmetic failed" in printed.err
    assert len([line for line in printed.err.splitlines() if "hollow" in line]) == 1
    assert "Comparison of arithmetic, chat, balanced, sorted by score" in printed.out
    (sweep,) = runs(outputs, kind="sweep")
    assert sweep.info.status == "FAILED"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no rows"),
        ('{"question": "1+1?", "answer": "#### 2"}\n{"question": "x', ":2: not valid JSON"),
        ('{"question": "1+1?", "answer": "#### 2"}\n{"question": "2+2?"}\n', ":2: `answer` must be a string"),
    ],
)
def test_damaged_rows_fail_the_job_with_file_and_line(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str], content: str, message: str
) -> None:
    (outputs / "test.jsonl").write_text(content, "utf-8")
    assert run_here("model=demo_xs", "dataset=gsm8k", f"dataset.data_dir={outputs}") == 1
    assert message in capsys.readouterr().err
    (run,) = runs(outputs, "gsm8k")
    assert run.info.status == "FAILED"
    assert message in run.data.tags["wattrack.error"]


def test_a_question_longer_than_the_context_is_data(run_here: Runner, outputs: Path) -> None:
    rows = [{"question": "1 + 1? " * (3000 if i == 1 else 1), "answer": "#### 2"} for i in range(3)]
    (outputs / "test.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    code = run_here(
        "model=demo_xs", "dataset=gsm8k", "dataset.protocol=chat", f"dataset.data_dir={outputs}", "probe_questions=0",
        "dataset.protocols.chat.prompt.max_new_tokens=8",
    )  # fmt: skip
    assert code == 0
    (run,) = runs(outputs, "gsm8k")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["quality/error_rate"] == pytest.approx(1 / 3, abs=1e-4)
    (failed,) = [r for r in read_journal(folders(outputs)[0] / "responses.jsonl") if r.error]
    assert "exceeds the context" in str(failed.error)


def test_a_raising_scorer_ends_failed_and_keeps_the_answers(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_here(
        "model=demo_xs", "limit=3", "probe_questions=0",
        "dataset.protocols.chat.scorer._target_=wattrack.scorers.number.parse",
        "~dataset.protocols.chat.scorer.marker",
    )  # fmt: skip
    assert code == 1
    (run,) = runs(outputs)
    assert run.info.status == "FAILED"
    assert "failed" in capsys.readouterr().err


@pytest.mark.parametrize("models", [("model=qwen7b",), ("-m", "model=qwen7b,demo_s")])
def test_dry_run_shows_the_prompt_and_writes_nothing(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str], models: tuple[str, ...]
) -> None:
    assert run_here(*models, "dry_run=true", "limit=2") == 0
    assert "[user] " in capsys.readouterr().out
    assert not (outputs / "multirun").exists()
    client = mlflow.MlflowClient(f"sqlite:///{outputs}/mlruns/mlflow.db")
    assert client.get_experiment_by_name("arithmetic") is None


def test_results_survive_a_store_that_fails_late_and_sync_logs_them(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from wattrack import cli
    from wattrack.errors import TrackingError
    from wattrack.tracking.store import Tracker

    def gone(self: Tracker, run_id: str, result: object) -> None:
        raise TrackingError("the store went away.")

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "log", gone)
        assert run_here("model=demo_xs", "limit=4", "probe_questions=2") == 1
    assert "wattrack sync" in capsys.readouterr().err
    assert cli.main(["sync"]) == 0
    statuses = sorted(r.info.status for r in runs(outputs))
    assert statuses == ["FAILED", "FINISHED"]
    (finished,) = [r for r in runs(outputs) if r.info.status == "FINISHED"]
    assert finished.data.metrics["quality/n"] == 4
    assert cli.main(["sync"]) == 0
    assert len(runs(outputs)) == 2


@pytest.mark.slow
@pytest.mark.parametrize(("live", "shown"), [("true", True), ("false", False)])
def test_an_expensive_scorer_is_kept_out_of_the_live_line(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str], live: str, shown: bool
) -> None:
    assert run_here("model=demo_xs", "limit=4", "probe_questions=0", f"dataset.protocols.chat.live_score={live}") == 0
    line = next(text for text in capsys.readouterr().out.splitlines() if "4/4" in text)
    assert ("score" in line) is shown
    (run,) = runs(outputs)
    assert "quality/score" in run.data.metrics


def test_recorded_answers_are_graded_and_nothing_else_is_claimed(run_here: Runner, outputs: Path) -> None:
    assert run_here("model=demo_xs", "limit=4", "probe_questions=2", "tracking.traces=none") == 0
    (folder,) = folders(outputs)
    assert run_here("model=demo_xs", "limit=4", "engine=replay", f"engine.path={folder / 'responses.jsonl'}") == 0
    again, first = (run.data for run in runs(outputs))
    assert again.metrics["quality/score"] == first.metrics["quality/score"]
    assert again.tags["wattrack.run_key"] != first.tags["wattrack.run_key"]
    assert again.params["effective/mode"] == "replay"
    computing = ("throughput/", "latency/", "memory/", "energy/", "tokens/computed")
    assert not [name for name in again.metrics if name.startswith(computing)]
    assert run_here("model=demo_xs", "limit=4", "engine=replay") == 2, "whose answers is not said"


def test_a_command_with_one_job_is_a_sweep_of_its_own(
    run_here: Callable[..., int], outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_here("limit=2", "probe_questions=0", "engine._target_=scripted.TextEngine") == 0
    (folder,) = folders(outputs)
    sweep = plan.read(folder)
    assert sweep is not None and [job.folder for job in sweep.jobs] == [str(folder)]
    assert load_run(folder).tags[f"wattrack.sweep.{sweep.id}"] == "1"
    capsys.readouterr()
    assert cli.main(["finalize", sweep.id]) == 0
    assert "nothing to compare" in capsys.readouterr().out
    assert run_here("limit=2", "dataset=wattbot") == 1
    (failed,) = [found for path in outputs.rglob(plan.FILE) if (found := plan.read(path.parent)) != sweep]
    assert failed is not None and cli.main(["finalize", failed.id]) == 1
    assert "not on the hub; set dataset.data_dir" in capsys.readouterr().err
