"""From what the jobs of a sweep left to one exit status and one line each."""

import json
import os
import time
from pathlib import Path

import pytest

from wattrack.errors import ConfigError
from wattrack.sweep import outcomes, plan
from wattrack.sweep.outcomes import JobEnd
from wattrack.sweep.plan import PlannedJob, Sweep


def sweep_of(folder: Path, count: int) -> Sweep:
    jobs = tuple(PlannedJob(number=n, name=f"job {n}", overrides=(), folder=str(folder / str(n))) for n in range(count))
    return Sweep(
        id=plan.new_id(), folder=str(folder), started_unix_s=time.time(), swept=("model",), overrides=("model=a,b",),
        launcher="BasicLauncher", config={"limit": None}, jobs=jobs,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("statuses", "settings", "code"),
    [
        ("FINISHED FINISHED", {}, 0),
        ("FINISHED FAILED", {}, 1),
        ("FINISHED REFUSED", {}, 1),
        ("FINISHED KILLED", {}, 1),
        ("FINISHED LOST", {}, 1),
        ("FINISHED RUNNING", {}, 1),
        ("REFUSED REFUSED", {}, 2),
        ("REFUSED LOST", {"refused": True}, 2),
        ("LOST LOST", {}, 1),
        ("FINISHED KILLED", {"interrupted": True}, 130),
        ("", {}, 0),
        ("", {"refused": True}, 2),
    ],
)
def test_exit_status(statuses: str, settings: dict[str, bool], code: int) -> None:
    job = PlannedJob(number=0, name="a", overrides=(), folder="a")
    assert outcomes.exit_status([JobEnd(job=job, status=s) for s in statuses.split()], **settings) == code


def test_outcomes_come_from_folders_then_from_the_store(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, 7)
    outcomes.write(tmp_path / "0", "FINISHED", "")
    outcomes.write(tmp_path / "1", "FAILED", "EngineError: no weights")
    outcomes.write(tmp_path / "2", "FAILED", "ValueError: oops")
    outcomes.write(tmp_path / "3", "REFUSED", "limit=0: expected at least 1")
    outcomes.write(tmp_path / "6", "FINISHED", "")
    os.utime(tmp_path / "6" / "summary.json", (sweep.started_unix_s - 60,) * 2)  # of an earlier use of the folder
    runs = [
        {
            "tags.wattrack.output_dir": str(tmp_path / "4"),
            "status": "KILLED",
            "run_id": "r",
            "tags.wattrack.error": "ended",
        }
    ]
    found = outcomes.of(sweep, runs, alive=[str(tmp_path / "5")])
    assert [(o.status, o.error) for o in found[1:]] == [
        ("FAILED", "no weights"),
        ("FAILED", "ValueError: oops (details in job.log)"),
        ("REFUSED", "limit=0: expected at least 1"),
        ("KILLED", "ended"),
        ("RUNNING", None),
        ("LOST", "no outcome: its process died, or it never started"),
    ]
    assert found[0].status == "FINISHED"


def test_a_plan_is_read_back_and_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATTRACK_ROOT", str(tmp_path))
    sweep = sweep_of(tmp_path / "multirun" / "day" / "time", 2)
    plan.write(sweep)
    assert plan.read(Path(sweep.folder)) == plan.find(sweep.id) == plan.find(sweep.folder) == sweep
    with pytest.raises(ConfigError, match=f"expected the id of a sweep .* the latest are: {sweep.id}"):
        plan.find("20200101-000000-abcd")


def test_a_damaged_plan_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps({"id": 1}), "utf-8")
    with pytest.raises(ConfigError, match="expected the plan of a sweep of this version"):
        plan.read(tmp_path)
