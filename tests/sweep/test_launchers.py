"""Sweeps whose jobs run in other processes, by the real launchers: what the user gets is as in process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from support import CHECKOUT, Command

pytestmark = pytest.mark.slow
LAUNCHERS = ["basic", "submitit_local", "joblib"]


def runs(root: Path, kind: str = "job") -> list[Run]:
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    found = client.get_experiment_by_name("arithmetic")
    assert found is not None
    return list(client.search_runs([found.experiment_id], f"tags.`wattrack.kind` = '{kind}'"))


def hollow(folder: Path) -> str:
    """A folder of configuration with a model that cannot be loaded."""
    weights = folder / "hollow"
    weights.mkdir()
    (weights / "config.json").write_text("{}", "utf-8")
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "hollow.yaml").write_text(f"name: hollow\nid: {weights}\nparams_b: 1\n", "utf-8")
    return str(folder / "conf")


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_one_of_three_jobs_fails(src_run: Command, outputs: Path, launcher: str) -> None:
    done = src_run(
        "--config-dir", hollow(outputs), "-m", "model=hollow,demo_xs,demo_s", "limit=4", "probe_questions=0",
        f"hydra/launcher={launcher}", timeout_s=400, COLUMNS="200",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "hollow" in line]
    assert line.startswith("hollow · arithmetic failed: model folder ")
    table = done.stdout[done.stdout.index("Comparison of arithmetic, chat, balanced, sorted by score") :]
    assert re.findall(r"│ (\w+) +│ ([\d.]+%|failed)", table) == [
        ("demo_s", "75.0%"),
        ("demo_xs", "25.0%"),
        ("hollow", "failed"),
    ]
    assert "Leaderboard: http" in table and "Best run: http" in table
    (sweep,) = runs(outputs, "sweep")
    assert (sweep.info.status, sweep.data.params["jobs"]) == ("FAILED", "3")
    assert {k: sweep.data.tags[f"wattrack.{k}"] for k in ("finished", "failed", "killed")} == {
        "finished": "2",
        "failed": "1",
        "killed": "0",
    }
    identity = sweep.data.tags["wattrack.sweep_id"]
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{4}", identity)
    jobs = runs(outputs)
    assert len(jobs) == 3 and all(run.data.tags[f"wattrack.sweep.{identity}"] == "1" for run in jobs)
    finished = [run for run in jobs if run.info.status == "FINISHED"]
    beside = [json.loads(run.data.tags.get("wattrack.contended", "[]")) for run in finished]
    if launcher == "basic":
        assert beside == [[], []]
    if launcher == "submitit_local":  # it starts every job at once
        assert all("generate" in windows and "job" in windows for windows in beside)
        assert all("contended" in run.data.tags["energy.basis"] for run in finished)
        assert "contended" in table


@pytest.mark.parametrize("launcher", ["submitit_local", "joblib"])
def test_settings_that_only_a_worker_refuses(src_run: Command, outputs: Path, launcher: str) -> None:
    done = src_run("-m", "model=demo_xs", "limit=0,-1", f"hydra/launcher={launcher}", timeout_s=300)
    assert done.returncode == 2, done.stderr
    assert len([line for line in done.stderr.splitlines() if "limit" in line]) == 2
    summaries = [p.read_text("utf-8") for p in (outputs / "multirun").rglob("summary.json")]
    assert len(summaries) == 2 and all('"REFUSED"' in text for text in summaries)


def start(environment: dict[str, str], *overrides: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "src.run", "-m", *overrides, "hydra/launcher=submitit_local"],
        cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(what: Callable[[], bool], process: "subprocess.Popen[str] | None" = None) -> None:
    deadline = time.monotonic() + 180
    while not what():
        assert time.monotonic() < deadline and (process is None or process.poll() is None)
        time.sleep(0.2)


def answering(root: Path, count: int) -> bool:
    return len([p for p in (root / "multirun").rglob("responses.jsonl") if p.stat().st_size > 0]) >= count


def test_a_worker_that_gets_sigterm_ends_its_run_killed(outputs: Path, environment: dict[str, str]) -> None:
    with start(environment, "model=demo_xs,demo_s", "preset.batch_size=1") as process:
        wait_for(lambda: answering(outputs, 2), process)
        workers = [int(run.data.tags["wattrack.pid"]) for run in runs(outputs)]
        assert len(workers) == 2 and process.pid not in workers
        for worker in workers:
            os.kill(worker, signal.SIGTERM)
        out, err = process.communicate(timeout=200)
    assert [run.info.status for run in runs(outputs)] == ["KILLED", "KILLED"], out + err
    assert process.returncode == 1
    assert len([line for line in err.splitlines() if line.endswith("failed: interrupted")]) == 2


def test_finalize_after_the_parent_was_killed(outputs: Path, environment: dict[str, str], tmp_path: Path) -> None:
    with start(environment, "model=demo_xs,demo_s", "limit=20", "preset.batch_size=1") as process:
        wait_for(lambda: answering(outputs, 1), process)
        process.kill()
    assert runs(outputs, "sweep") == []
    (plan,) = (outputs / "multirun").rglob("sweep.json")

    def finalize(sweep: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "wattrack", "finalize", sweep],
            cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    wait_for(lambda: all(run.info.status == "FINISHED" for run in runs(outputs)) and len(runs(outputs)) == 2)
    time.sleep(3)  # the workers leave the list of running jobs
    first = finalize(str(plan.parent))
    assert first.returncode == 0, first.stderr
    assert "Comparison of arithmetic" in first.stdout
    (sweep,) = runs(outputs, "sweep")
    assert sweep.info.status == "FINISHED"
    second = finalize(sweep.data.tags["wattrack.sweep_id"])
    assert second.returncode == 0, second.stderr
    (again,) = runs(outputs, "sweep")
    assert again.info.run_id != sweep.info.run_id
