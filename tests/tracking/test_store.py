"""What a run looks like in MLflow, and what happens when a part of it cannot be written."""

import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow import MlflowClient

from tracking.examples import LADDER, job_result, job_start, sweep_start
from wattrack.errors import TrackingError
from wattrack.tracking import queries, traces
from wattrack.tracking.store import Tracker


def _finished(tracker: Tracker, model: str = "demo_s", sweep_id: str = "sweep-1", **metrics: float | None) -> str:
    run_id = tracker.start(job_start(model, sweep_id))
    tracker.log(run_id, job_result(model, questions=20, **metrics))
    tracker.end(run_id, "FINISHED", None)
    return run_id


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots of jobs are most of the time that a run takes to log."""
    monkeypatch.setattr("wattrack.tracking.job_plots.write_job_plots", lambda *_: None)


def _artifacts(uri: str, run_id: str) -> set[str]:
    client = MlflowClient(uri)
    folders = [item.path for item in client.list_artifacts(run_id)]
    return {item.path for folder in folders for item in client.list_artifacts(run_id, folder)}


def test_a_job_run_is_complete(tracker: Tracker, uri: str, outputs: Path) -> None:
    run_id = _finished(tracker)
    run = MlflowClient(uri).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "demo_s · arithmetic"
    assert run.data.params.items() >= {"model": "demo_s", "limit": "null", "effective/dtype": "float32"}.items()
    assert run.data.tags.items() >= {"wattrack.kind": "job", "wattrack.pid": str(os.getpid())}.items()
    assert run.data.tags["mlflow.runColor"].startswith("#")
    assert run.data.tags["mlflow.note.content"].startswith("### demo_s")
    assert run.data.metrics["memory/rss_peak_gib"] == 0.81835, "five significant digits"
    assert "memory/vram_peak_gib" not in run.data.metrics, "not measured is absent"
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("arithmetic:test[:20]", "ab" * 6)
    names = ("score", "latency", "system")
    plots = {f"plots/{name}.{ending}" for name in names for ending in ("png", "csv")}
    names_of_tables = ("predictions.json", "phases.json", "latency.json", "records.parquet")
    tables = {f"tables/{name}" for name in names_of_tables}
    assert _artifacts(uri, run_id) == {"config/config.yaml"} | tables | plots
    location = outputs / "mlruns" / "arithmetic" / run_id / "artifacts"
    assert (location / "config" / "config.yaml").read_text("utf-8") == "model: demo_s\n"


@pytest.mark.usefixtures("no_plots")
def test_the_question_table_is_what_the_ui_compares(tracker: Tracker, uri: str) -> None:
    run = MlflowClient(uri).get_run(_finished(tracker))
    assert json.loads(run.data.tags["mlflow.loggedArtifacts"])[0]["path"] == "tables/predictions.json"
    path = Path(run.info.artifact_uri.removeprefix("file://")) / "tables" / "predictions.json"
    columns = json.loads(path.read_text("utf-8"))["columns"]
    assert columns[:6] == ["id", "question", "output", "target", "answer", "score"]


@pytest.mark.usefixtures("no_plots")
def test_series_keep_their_real_times(tracker: Tracker, uri: str) -> None:
    result = job_result(questions=20)
    run_id = tracker.start(job_start())
    tracker.log(run_id, result)
    history = MlflowClient(uri).get_metric_history(run_id, "running/score")
    assert [(m.key, m.step, m.timestamp, m.value) for m in history] == list(result.running)
    system = MlflowClient(uri).get_metric_history(run_id, "system/cpu_utilization_percentage")
    first, last = result.readings.samples[0].unix_ms, result.readings.samples[-1].unix_ms
    assert len(system) == 24, "one point a second of five readings a second"
    assert all(first <= m.timestamp <= last for m in system)


@pytest.mark.usefixtures("no_plots")
def test_a_number_that_is_none_is_refused_with_a_warning(
    tracker: Tracker, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_id = _finished(tracker, **{"energy/measured_wh": math.nan, "cost/usd": math.inf})
    assert not {"energy/measured_wh", "cost/usd"} & MlflowClient(uri).get_run(run_id).data.metrics.keys()
    assert "Not logged, because not a finite number: cost/usd, energy/measured_wh" in caplog.text


def test_an_unknown_metric_is_refused(tracker: Tracker) -> None:
    result = job_result(questions=3)
    run_id = tracker.start(job_start())
    with pytest.raises(TrackingError, match="without a row in METRICS: quality/vibes"):
        tracker.log(run_id, replace(result, metrics={**result.metrics, "quality/vibes": 1.0}))


@pytest.mark.usefixtures("no_plots")
def test_settings_that_turn_out_differently_are_both_kept(tracker: Tracker, uri: str) -> None:
    odd = {"preset/dtype": "bf16", "gen/pass@1": [1, None], "long": "x" * 900, "a//b/": True}
    run_id = tracker.start(job_start(**odd))
    tracker.log(run_id, replace(job_result(questions=3), params={"preset/dtype": "fp32", "seed": 0}))
    params = MlflowClient(uri).get_run(run_id).data.params
    assert (params["preset/dtype"], params["effective/preset/dtype"]) == ("bf16", "fp32")
    assert (params["gen/pass_1"], params["a/b"]) == ("[1, null]", "true")
    assert len(params["long"]) == 500 and params["long"].endswith("…")


@pytest.mark.parametrize(
    ("part", "warning"),
    [
        ("wattrack.tracking.traces.write_traces", "the run cannot be compared by traces"),
        ("wattrack.tracking.job_plots.write_job_plots", "the run has no plots"),
        ("wattrack.tracking.views.view_tags", "the UI opens without arranged views"),
    ],
)
def test_what_a_run_can_live_without_costs_one_line(
    part: str,
    warning: str,
    tracker: Tracker,
    uri: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("broken\nin detail")

    monkeypatch.setattr(part, broken)
    run_id = _finished(tracker)
    lines = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert lines == [f"MLflow: {warning} (ValueError: broken)"]
    assert MlflowClient(uri).get_run(run_id).data.metrics["quality/n"] == 20
    assert "tables/records.parquet" in _artifacts(uri, run_id)


def test_results_that_cannot_be_written_say_where_they_are(outputs: Path, uri: str) -> None:
    (outputs / "file").write_text("")
    tracker = Tracker(uri, "elsewhere", artifact_root=outputs / "file")
    with pytest.raises(
        TrackingError, match=r"the settings of demo_s · arithmetic cannot be logged \(.*Not a directory"
    ):
        tracker.start(job_start())
    (run,) = MlflowClient(uri).search_runs([tracker.experiment_id])
    assert run.info.status == "FAILED", "no run is left RUNNING"
    with pytest.raises(TrackingError, match="cannot be logged; they are on disk in the job's folder"):
        tracker.log(run.info.run_id, job_result(questions=3))


def test_a_failed_run_names_its_error(tracker: Tracker, uri: str) -> None:
    run_id = tracker.start(job_start())
    tracker.end(run_id, "FAILED", "EngineError: no weights\nin detail")
    run = MlflowClient(uri).get_run(run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["wattrack.error"].startswith("EngineError: no weights")


def test_files_are_attached(tracker: Tracker, uri: str, tmp_path: Path) -> None:
    (tmp_path / "responses.jsonl").write_text("{}\n")
    run_id = tracker.start(job_start())
    tracker.log_file(run_id, tmp_path / "responses.jsonl", "job")
    assert "job/responses.jsonl" in _artifacts(uri, run_id)
    with pytest.raises(TrackingError, match="cannot be attached"):
        tracker.log_file(run_id, tmp_path / "missing", "job")


def test_a_deleted_experiment_says_how_to_get_it_back(tracker: Tracker, uri: str) -> None:
    MlflowClient(uri).delete_experiment(tracker.experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore --experiment-id 1"):
        Tracker(uri, "arithmetic").start(job_start())


def test_artifacts_survive_odd_folder_names(outputs: Path, uri: str) -> None:
    tracker = Tracker(uri, "gsm8k/main #1", artifact_root=outputs / "with space #1" / "mlruns")
    run_id = tracker.start(job_start())
    assert "config/config.yaml" in _artifacts(uri, run_id)
    assert (outputs / "with space #1" / "mlruns" / "gsm8k_main__1" / run_id).is_dir()


@pytest.mark.usefixtures("no_plots")
def test_runs_of_a_sweep_are_found_in_every_experiment(
    tracker: Tracker, uri: str, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "_PAGE", 2)
    other = Tracker(uri, "gsm8k", artifact_root=outputs / "mlruns", traces="none")
    ids = [_finished(tracker, model) for model in LADDER] + [_finished(other)]
    _finished(tracker, sweep_id="sweep-2")
    tracker.end(tracker.start(sweep_start()), "FINISHED", None)
    runs = tracker.load_runs("sweep-1")
    assert list(runs["run_id"]) == ids
    assert list(runs["params.model"]) == [*LADDER, "demo_s"]
    assert set(runs["status"]) == {"FINISHED"}
    assert runs["metrics.quality/score"].dtype == float
    assert tracker.load_runs("sweep-3").empty


@pytest.mark.usefixtures("no_plots")
def test_a_parameter_called_as_a_column_of_the_run_hides_nothing(tracker: Tracker) -> None:
    start = job_start("demo_s", name="a parameter", status="another", **{"git.commit": "a third"})
    run_id = tracker.start(start)
    tracker.log(run_id, job_result())
    tracker.end(run_id, "FINISHED", None)
    (run,) = tracker.load_runs("sweep-1").to_dict("records")
    assert (run["name"], run["params.name"]) == (start.name, "a parameter")
    assert (run["status"], run["params.status"]) == ("FINISHED", "another")
    assert (run["tags.git.commit"], run["params.git.commit"]) == ("0123456789abcdef", "a third")


@pytest.mark.usefixtures("no_plots")
def test_a_sweep_run_compares(tracker: Tracker, uri: str) -> None:
    for model in LADDER:
        _finished(tracker, model)
    tracker.end(tracker.start(job_start("demo_xs")), "FAILED", "broken")
    run_id = tracker.start(sweep_start())
    tracker.log_sweep(run_id, tracker.load_runs("sweep-1"), "| model |")
    run = MlflowClient(uri).get_run(run_id)
    assert run.data.tags.items() >= {"wattrack.finished": "4", "wattrack.failed": "1"}.items()
    assert run.data.tags["mlflow.note.content"] == "| model |"
    names = ("size_score", "size_energy", "score_energy", "comparison")
    plots = {f"plots/{name}.{ending}" for name in names for ending in ("png", "csv")}
    tables = {"tables/comparison.json", "tables/comparison.csv"}
    assert _artifacts(uri, run_id) == {"config/config.yaml"} | tables | plots
    path = Path(run.info.artifact_uri.removeprefix("file://")) / "tables" / "comparison.csv"
    assert list(pd.read_csv(path)["quality/score"].dropna()) == sorted(
        tracker.load_runs("sweep-1")["metrics.quality/score"].dropna(), reverse=True
    )


DIE = """
import os, sys
sys.path.insert(0, sys.argv[2])
from tracking.examples import job_start
from wattrack.tracking.store import Tracker
print(Tracker(sys.argv[1], "arithmetic").start(job_start()), flush=True)
os.kill(os.getpid(), 9)
"""


def test_runs_of_dead_processes_end_killed(tracker: Tracker, uri: str) -> None:
    command = [sys.executable, "-c", DIE, uri, str(Path(__file__).parents[1])]
    orphan = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    mine, kept = tracker.start(job_start()), tracker.start(job_start())
    others = tracker.start(job_start())
    client = MlflowClient(uri)
    client.set_tag(others, "wattrack.host", "another-machine")
    living = tracker.start(job_start())
    parent = os.getppid()
    client.set_tag(living, "wattrack.pid", str(parent))
    client.set_tag(living, "wattrack.pid_started", str(_created(parent)))
    reused = tracker.start(job_start())  # the pid lives, but as another process
    client.set_tag(reused, "wattrack.pid_started", "1.0")
    assert set(Tracker(uri, None).close_dead_runs(keep={kept})) == {orphan, mine, reused}
    status: Callable[[str], str] = lambda run_id: client.get_run(run_id).info.status  # noqa: E731
    assert [status(i) for i in (orphan, mine, reused)] == ["KILLED"] * 3
    assert [status(i) for i in (kept, others, living)] == ["RUNNING"] * 3


def _created(pid: int) -> float:
    import psutil

    return psutil.Process(pid).create_time()


@pytest.mark.usefixtures("no_plots")
def test_views_are_written_once_and_follow_what_was_measured(tracker: Tracker, uri: str) -> None:
    def views() -> dict[str, Any]:
        tags = MlflowClient(uri).get_experiment(tracker.experiment_id).tags
        return {k: v for k, v in tags.items() if k.startswith("mlflow.sharedViewState.")}

    _finished(tracker)
    before = views()
    assert len(before) == 4
    _finished(tracker)
    assert views() == before
    _finished(tracker, **{"energy/measured_wh": 0.5})
    assert views() != before


@pytest.mark.usefixtures("no_plots")
def test_links_lead_with_the_best_run(tracker: Tracker) -> None:
    ids = [
        _finished(tracker, model, **{"quality/score": score}) for model, score in (("demo_xs", 0.2), ("demo_l", 0.9))
    ]
    links = dict(tracker.links(ids, base_url="http://127.0.0.1:5000/"))
    assert list(links)[:4] == ["Leaderboard", "Trade-offs", "By model", "Over questions"]
    assert links["Best run"].startswith(f"http://127.0.0.1:5000/#/experiments/1/runs/{ids[1]}")
    assert f"selectedRunUuid={ids[1]}&compareToRunUuid={ids[0]}" in links["Two best models, question by question"]
    assert "This run" in dict(tracker.links(ids[:1], base_url="http://127.0.0.1:5000"))


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize(("setting", "count"), [("none", 0), ("3", 5), ("all", 12)])
def test_traces_are_linked_to_their_run(setting: str, count: int, uri: str, outputs: Path) -> None:
    tracker = Tracker(uri, "arithmetic", artifact_root=outputs / "mlruns", traces=setting)
    result = job_result(questions=12)
    marks = [1.0, 0.0, 1.0, 0.0, 0.0] + [1.0] * 7
    records = tuple(replace(r, score=mark) for r, mark in zip(result.records, marks, strict=True))
    run_id = tracker.start(job_start())
    tracker.log(run_id, replace(result, records=records))
    found = MlflowClient(uri).search_traces(locations=[tracker.experiment_id], filter_string=f"run_id = '{run_id}'")
    assert len(found) == count
    for trace in found:
        record = next(r for r in records if r.id == trace.info.tags["wattrack.question_id"])
        assert (trace.info.request_time, trace.info.request_preview) == (record.started_unix_ms, record.question)
        assert trace.info.execution_duration == round(1000 * (record.latency_s or 0))
        assert trace.data.spans[0].outputs == record.output
        assert trace.info.token_usage["output_tokens"] == record.output_tokens
        grades = {a.name: a.value for a in trace.info.assessments}
        expected = {"correct": record.score == 1.0, "score": record.score, "expected_response": record.target}
        assert grades == expected


def test_which_questions_are_traced() -> None:
    records = [replace(r, score=float(i % 3 == 0)) for i, r in enumerate(job_result(questions=9).records)]
    chosen = [(record.id, why) for record, why in traces.selected(records, 3)]
    assert chosen == [("0", "first"), ("1", "first"), ("2", "first"), ("4", "wrong"), ("5", "wrong"), ("7", "wrong")]


@pytest.mark.usefixtures("no_plots")
def test_links_pair_only_runs_that_were_asked_the_same(tracker: Tracker) -> None:
    ids = []
    for model, protocol, score in (("demo_xs", "a", 0.2), ("demo_l", "b", 0.9), ("demo_s", "a", 0.5)):
        result = job_result(model, **{"quality/score": score})
        ids.append(tracker.start(job_start(model)))
        tracker.log(ids[-1], replace(result, dataset=replace(result.dataset, protocol=protocol)))
        tracker.end(ids[-1], "FINISHED", None)
    links = dict(tracker.links(ids, base_url="http://127.0.0.1:5000"))
    pair = links["Two best models of a, question by question"]
    assert f"selectedRunUuid={ids[2]}&compareToRunUuid={ids[0]}" in pair
    assert "Two best models of b, question by question" not in links
    assert f"/runs/{ids[1]}?" in links["Best run of b"] and f"/runs/{ids[2]}?" in links["Best run of a"]
