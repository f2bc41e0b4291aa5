"""Real processes: the mission's commands, signals, a dead hub, a store that cannot be written."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run

from support import CHECKOUT, Command
from wattrack import cli
from wattrack.journal import read_journal


def runs(root: Path, experiment: str = "arithmetic") -> list[Run]:
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlruns/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id], "tags.`wattrack.kind` = 'job'"))


@pytest.mark.slow
def test_the_missions_sweep_without_a_hub(src_run: Command, outputs: Path) -> None:
    done = src_run("-m", "model=qwen1_5b,qwen7b", "dataset=gsm8k")
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len([line for line in lines if "cannot reach the Hugging Face hub" in line]) == 2
    assert {r.info.status for r in runs(outputs, "gsm8k")} == {"FAILED"}
    assert len(runs(outputs, "gsm8k")) == 2


def test_the_installed_command_runs_from_any_folder(outputs: Path, environment: dict[str, str], tmp_path: Path) -> None:
    del environment["WATTRACK_ROOT"]
    command = [str(Path(sys.executable).parent / "wattrack"), "run", "dry_run=true", "limit=1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "first prompt" in done.stdout


def test_help_lists_the_groups(src_run: Command) -> None:
    done = src_run("--help")
    assert done.returncode == 0
    for group in ("model", "dataset", "preset", "hardware", "experiment"):
        assert group in done.stdout


@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 130, marks=pytest.mark.slow)]
)
def test_signals_end_the_run_killed_with_answers_on_disk(
    outputs: Path, environment: dict[str, str], sent: signal.Signals, code: int
) -> None:
    # A background job of a shell ignores SIGINT, and so would every process that it starts.
    heeding = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    command = [
        sys.executable,
        "-c",
        heeding,
        sys.executable,
        "-m",
        "src.run",
        "-m",
        "model=demo_xs,demo_s",
        "preset.batch_size=1",
    ]
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _wait_for_answers(outputs, process)
            process.send_signal(sent)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code, err
    assert "Interrupted" in err
    assert [r.info.status for r in runs(outputs)] == ["KILLED"]  # and the second job never started
    (journal,) = (outputs / "multirun").rglob("responses.jsonl")
    assert read_journal(journal)
    assert "Comparison" in out


@pytest.mark.slow
def test_kill_9_leaves_answers_and_the_next_command_closes_the_run(
    outputs: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "src.run", "model=demo_xs", "preset.batch_size=1"],
        cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _wait_for_answers(outputs, process)
    process.kill()
    process.wait(timeout=60)
    (journal,) = (outputs / "multirun").rglob("responses.jsonl")
    assert read_journal(journal)
    monkeypatch.setenv("WATTRACK_ROOT", environment["WATTRACK_ROOT"])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert cli.main(["doctor"]) == 0
    assert "now KILLED: 1" in capsys.readouterr().out
    assert [r.info.status for r in runs(outputs)] == ["KILLED"]


@pytest.mark.slow
def test_a_reader_that_leaves_fails_no_job(outputs: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "src.run", "-m", "model=demo_xs", "limit=4", "probe_questions=0"]
    with subprocess.Popen(
        command, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("1 job, sweep ")
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=120) == 0
    assert [r.info.status for r in runs(outputs)] == ["FINISHED"]


def _wait_for_answers(root: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        if any(p.stat().st_size > 0 for p in (root / "multirun").rglob("responses.jsonl")):
            return
        time.sleep(0.1)
    pytest.fail(f"no answer on disk; the process said {process.communicate()}")


def test_a_store_that_cannot_be_written_is_one_sentence(src_run: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", "utf-8")
    done = src_run("limit=1", f"tracking.uri=sqlite:///{tmp_path}/file/mlflow.db")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "mlflow.db" in done.stderr


def test_list_shows_a_file_that_names_what_is_not_there(tmp_path: Path) -> None:
    conf = shutil.copytree(CHECKOUT / "conf", tmp_path / "conf")
    own = (conf / "dataset" / "gsm8k.yaml").read_text("utf-8").replace("name: gsm8k", "name: mine")
    (conf / "dataset" / "mine.yaml").write_text(f"{own}\ndata_dir: ${{oc.env:NO_SUCH_VARIABLE}}\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "wattrack", "list"], capture_output=True, text=True, check=True, cwd=CHECKOUT,
        env={**os.environ, "WATTRACK_CONF_DIR": str(conf), "COLUMNS": "300"},
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if "│ mine " in line]
    assert "missing" in line


def test_list_shows_what_can_be_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wattrack", "list"], capture_output=True, text=True, check=True, cwd=CHECKOUT
    )
    for name in ("demo_xs", "qwen32b", "gsm8k", "memory_optimized", "scaling"):
        assert name in done.stdout


@pytest.mark.parametrize("verb", ["list", "ui", "doctor", "sync", "score", "finalize"])
def test_every_verb_says_what_it_takes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main([verb, "--help"])
    assert f"wattrack {verb}" in capsys.readouterr().out
