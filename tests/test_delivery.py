"""A job and a store that refuses a part of it: what ends how, what is said, and what `wattrack sync` mends."""

import base64
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from store_server import Store, mlflow_server, proxy
from support import CHECKOUT
from wattrack import cli
from wattrack.processes import owner_tags
from wattrack.runs.layout import MANIFEST
from wattrack.runs.manifest import write_manifest
from wattrack.runs.read import load_run

Runner = Callable[..., int]
JOB = ("model=demo_xs", "limit=3", "probe_questions=0", "tracking.traces=none")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as port:
        yield port


@pytest.fixture
def store(server: int, run_without_store: Runner, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The server, which job and commands of this test find by the environment; it is not asked again after a 5xx."""
    with proxy(server) as found:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", found.url)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setattr("wattrack.tracking.job_plots.write_job_plots", lambda *_: None)
        yield found


def job_runs(store: Store, root: Path) -> list[Run]:
    """The runs of this test's jobs, oldest first; the server is shared."""
    client = mlflow.MlflowClient(store.url)
    found = client.get_experiment_by_name("arithmetic")
    assert found is not None
    runs = client.search_runs([found.experiment_id], "tags.`wattrack.kind` = 'job'", order_by=["start_time ASC"])
    return [run for run in runs if run.data.tags["wattrack.output_dir"].startswith(str(root))]


def summary(root: Path) -> dict[str, object]:
    (path,) = (root / "multirun").rglob("summary.json")
    content: dict[str, object] = json.loads(path.read_text("utf-8"))
    return content


@pytest.mark.slow
def test_a_file_that_the_store_refuses_costs_a_line(
    store: Store, run_without_store: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.fault = lambda method, path: 413 if path.endswith("/job/responses.jsonl") else None
    assert run_without_store(*JOB, "-m") == 0
    (run,) = job_runs(store, tmp_path)
    assert run.info.status == "FINISHED"
    (journal,) = tmp_path.rglob("responses.jsonl")
    assert f"{journal} cannot be attached to run {run.info.run_id}" in capsys.readouterr().out
    assert "cannot be attached" in (journal.parent / "job.log").read_text("utf-8")
    attached = {item.path for item in mlflow.MlflowClient(store.url).list_artifacts(run.info.run_id, "job")}
    assert {"job/summary.json", "job/records.parquet", "job/job.log"} <= attached


@pytest.mark.slow
def test_a_run_that_cannot_be_ended_is_said_and_ended_later_as_what_it_was(
    store: Store, run_without_store: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store.fault = lambda method, path: 500 if path.endswith("/runs/update") else None
    assert run_without_store(*JOB) == 1
    (run,) = job_runs(store, tmp_path)
    assert run.info.status == "RUNNING"
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"the run {run.info.run_id} cannot be closed as FINISHED" in line
    assert "wattrack doctor" in line
    store.fault = lambda method, path: None
    assert cli.main(["doctor"]) == 0
    assert "now FINISHED: 1" in capsys.readouterr().out
    assert [r.info.status for r in job_runs(store, tmp_path)] == ["FINISHED"]


@pytest.mark.slow
def test_files_that_cannot_be_written_end_the_run_failed(
    store: Store, run_without_store: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "job"
    (folder / "summary.json").mkdir(parents=True)
    assert run_without_store(*JOB, f"hydra.run.dir={folder}") == 1
    (run,) = job_runs(store, tmp_path)
    assert run.info.status == "FAILED"
    assert "IsADirectoryError" in run.data.tags["wattrack.error"]
    printed = capsys.readouterr()
    assert "summary.json" in printed.err
    assert "the job's files are not complete (IsADirectoryError" in printed.out


def unlogged(store: Store, run: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    """A job whose tables the store refuses."""
    store.fault = lambda method, path: 500 if "/tables/" in path else None
    assert run(*JOB) == 1
    assert "wattrack sync" in capsys.readouterr().err


@pytest.mark.slow
def test_sync_logs_a_finished_job_that_names_the_failed_run(
    store: Store, run_without_store: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unlogged(store, run_without_store, capsys)
    assert cli.main(["sync"]) == 1, "the store still refuses"
    assert [run.info.status for run in job_runs(store, tmp_path)] == ["FAILED", "FAILED"]
    store.fault = lambda method, path: None
    assert cli.main(["sync"]) == 0
    first, _, finished = job_runs(store, tmp_path)
    assert finished.info.status == "FINISHED"
    assert finished.data.tags["wattrack.replaces"] == first.info.run_id
    assert first.data.tags["wattrack.replaced_by"] == finished.info.run_id
    attached = mlflow.MlflowClient(store.url).download_artifacts(finished.info.run_id, "job/summary.json")
    for content in (json.loads(Path(attached).read_text("utf-8")), summary(tmp_path)):
        assert (content["status"], content["error"]) == ("FINISHED", None)
        assert content["mlflow_run_id"] == finished.info.run_id


@pytest.mark.slow
def test_sync_goes_on_after_a_result_that_cannot_be_logged(
    store: Store, run_without_store: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unlogged(store, run_without_store, capsys)
    store.fault = lambda method, path: None
    (manifest,) = tmp_path.rglob(MANIFEST)
    for name in ("a", "b"):
        shutil.copytree(manifest.parent, tmp_path / "multirun" / "0" / name)
    (broken, gone) = (tmp_path / "multirun" / "0" / name for name in ("a", "b"))
    (broken / "records.parquet").write_bytes(b"cut")
    config = (gone / "config.yaml").read_text("utf-8").replace("uri: null", "uri: http://127.0.0.1:9")
    (gone / "config.yaml").write_text(config, "utf-8")
    assert cli.main(["sync"]) == 1
    printed = capsys.readouterr()
    lines = printed.err.strip().splitlines()
    assert len(lines) == 2
    assert "records.parquet: not a readable table of records" in lines[0]
    assert "/0/b: The MLflow server http://127.0.0.1:9 does not answer" in lines[1]
    assert "1 result(s) logged, 2 not" in printed.out
    assert [run.info.status for run in job_runs(store, tmp_path)] == ["FAILED", "FAILED", "FINISHED"]
    assert cli.main(["sync"]) == 1
    assert "0 result(s) logged, 2 not" in capsys.readouterr().out, "what was delivered is not delivered again"


DIES = """
import os, signal, sys
from wattrack import cli
from wattrack.job import main
main.deliver = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
cli.run(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_job_that_was_killed_before_it_could_log_is_delivered_by_sync(
    outputs: Path, environment: dict[str, str], run_here: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = outputs / "multirun"
    done = subprocess.run([sys.executable, "-c", DIES, *JOB], env=environment, cwd=outputs, check=False)
    assert done.returncode == -signal.SIGKILL
    (manifest,) = map(load_run, (path.parent for path in folder.rglob(MANIFEST)))
    assert manifest.manifest.complete and manifest.manifest.outcome.status == "RUNNING"
    mine = replace(manifest.manifest.outcome, owner=owner_tags())
    write_manifest(manifest.folder, replace(manifest.manifest, outcome=mine))
    assert cli.main(["sync"]) == 0
    assert "0 result(s) logged" in capsys.readouterr().out, "somebody still works on it"
    write_manifest(manifest.folder, manifest.manifest)
    assert cli.main(["sync"]) == 0
    assert "1 result(s) logged" in capsys.readouterr().out
    client = mlflow.MlflowClient(f"sqlite:///{outputs}/mlruns/mlflow.db")
    found = client.get_experiment_by_name("arithmetic")
    assert found is not None
    killed, delivered = client.search_runs([found.experiment_id], order_by=["start_time ASC"])
    assert (killed.info.status, delivered.info.status) == ("KILLED", "FINISHED")
    assert killed.data.tags["wattrack.replaced_by"] == delivered.info.run_id
    assert delivered.data.metrics["quality/n"] == 3


@pytest.mark.slow
def test_results_that_an_earlier_version_kept_are_delivered(run_here: Runner, outputs: Path) -> None:
    folder = outputs / "multirun" / "1"
    shutil.copytree(CHECKOUT / "tests" / "fixtures" / "old_runs" / "unlogged", folder)
    (folder / "config.yaml").write_text(json.loads((folder / "unlogged.json").read_text())[0]["config_yaml"])
    (folder / "summary.json").write_text('{"status": "FAILED", "mlflow_run_id": null, "error": "the store was gone"}')
    assert cli.main(["sync"]) == 0
    client = mlflow.MlflowClient(f"sqlite:///{outputs}/mlruns/mlflow.db")
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert not (folder / "unlogged.json").exists()
    assert run.data.metrics["quality/n"] == 3
    assert json.loads((folder / "summary.json").read_text())["status"] == "FINISHED"


@pytest.mark.slow
def test_a_password_in_the_address_is_sent_and_never_shown(
    store: Store,
    run_without_store: Runner,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store.authorization = "Basic " + base64.b64encode(b"me:hunter2").decode()
    uri = store.url.replace("://", "://me:hunter2@")
    store.fault = lambda method, path: 500 if "/tables/" in path else None
    assert run_without_store(*JOB, f"tracking.uri={uri}") == 1
    store.fault = lambda method, path: None
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert cli.main(["sync"]) == 1
    printed = capsys.readouterr()
    assert "MLFLOW_TRACKING_USERNAME" in printed.err.splitlines()[-1]
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    assert cli.main(["sync"]) == 0
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert run_without_store(*JOB, "limit=2") == 0
    assert cli.main(["doctor"]) == 0
    last = capsys.readouterr()
    assert f"This run: {store.url}/#/" in last.out
    assert "hunter2" not in printed.out + printed.err + last.out + last.err
    files = [p for p in tmp_path.rglob("*") if p.is_file() and ".hydra" not in p.parts]
    assert not [p for p in files if b"hunter2" in p.read_bytes()]
