"""The list of running jobs: who ran beside whom, also when somebody was killed."""

import subprocess
import sys
import time
from pathlib import Path

from wattrack.monitors import running
from wattrack.monitors.meter import Meter

_OTHER = (
    "import sys, time; from pathlib import Path; from wattrack.monitors import running\n"
    "with running.listed(Path(sys.argv[1]), Path('job')):\n"
    "    print('listed', flush=True); sys.stdin.readline()\n"
)


def other(where: Path) -> "subprocess.Popen[str]":
    """Another process's job, running until a line comes."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OTHER, str(where)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "listed\n"
    return process


def test_a_job_has_no_neighbour_in_itself(tmp_path: Path) -> None:
    with running.listed(tmp_path, tmp_path / "job"):
        (own,) = running.read(tmp_path)
        assert own.end_unix_s is None and own.folder == str(tmp_path / "job")
        assert running.others(tmp_path, 0.0, time.time()) == 0
    (own,) = running.read(tmp_path)
    assert own.end_unix_s is not None and own.end_unix_s >= own.start_unix_s


def test_only_what_overlaps_counts(tmp_path: Path) -> None:
    before = time.time()
    with other(tmp_path) as process:
        began = time.time()
        assert running.others(tmp_path, before, began) == 1
        assert running.others(tmp_path, began, began + 1) == 1, "it still runs"
        assert running.others(tmp_path, before - 9, before - 8) == 0
        process.communicate("end\n", timeout=30)
    ended = time.time()
    assert running.others(tmp_path, began, ended) == 1
    assert running.others(tmp_path, ended + 1, ended + 2) == 0


def test_a_killed_job_counts_until_it_was_last_alive(tmp_path: Path) -> None:
    with other(tmp_path) as process:
        began = time.time()
        process.kill()
    (dead,) = running.read(tmp_path)
    assert dead.end_unix_s is not None and abs(dead.end_unix_s - began) < 5
    assert running.others(tmp_path, began - 5, began) == 1
    assert running.others(tmp_path, began + 60, began + 61) == 0


def test_what_nobody_can_overlap_any_more_is_removed(tmp_path: Path) -> None:
    for _ in range(3):
        with running.listed(tmp_path, tmp_path):
            time.sleep(0.01)
    assert len(running.read(tmp_path)) == 1


def test_damaged_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("[1", "utf-8")
    (tmp_path / "y.json").write_text("[1]", "utf-8")
    assert running.read(tmp_path) == [] and running.others(tmp_path, 0.0, time.time()) == 0


def test_every_part_of_a_shared_window_is_flagged() -> None:
    beside = [0]
    with Meter([], neighbours=lambda start, end: beside[0]) as meter:
        with meter.window("alone"):
            pass
        beside[0] = 1
        with meter.window("shared"):
            open_window = meter.so_far("shared")
    alone, shared = meter.readings().windows
    assert all(part.flags == () for part in alone.energy.values())
    assert open_window is not None
    for window in (shared, open_window, meter.readings().job):
        assert window is not None and set(window.energy) == {"gpu", "cpu", "dram"}
        assert all(part.flags == ("contended",) for part in window.energy.values())
