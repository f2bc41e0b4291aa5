"""Interrupted jobs: what is covered is kept, what is not is asked again, and totals are sums over the processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segment_examples import CARBON, LOAD, NONE, NOW, OpenWindow, interrupted, joules, window
from support import CHECKOUT
from test_job import folders, runs
from wattrack.errors import DatasetError
from wattrack.job import loop, segments
from wattrack.job.segments import Segment, SegmentLog, find, of_machine, read, total
from wattrack.journal import Journal, read_journal
from wattrack.protocols import Engine
from wattrack.runs.layout import SEGMENTS
from wattrack.schema import CarbonReading, Response, Window

Runner = Callable[..., int]
TESTS = CHECKOUT / "tests"


def segment(number: int, *windows: Window, job: Window | None = None, carbon: CarbonReading | None = None) -> Segment:
    return Segment(
        number=number, run_key="a", machine="here", answers=0, computed_tokens=5, windows=windows, job=job,
        carbon=carbon,
    )  # fmt: skip


def test_generate_and_job_are_sums_and_the_other_phases_the_last() -> None:
    before = segment(
        1, window("load", 10.0, 50.0), window("generate", 60.0, 6.0, peak=5.0, cpu=joules(30.0, "sampled"), gpu=NONE),
        job=window("job", 9.0, 60.0, cpu=joules(100.0)), carbon=replace(CARBON, cpu_source="measured"),
    )  # fmt: skip
    found = total(NOW, [before])
    generate, load = found.window("generate"), found.window("load")
    assert generate is not None and load is not None and found.job is not None and found.carbon is not None
    assert (generate.duration_s, generate.start_s, generate.end_s) == (10.0, 102.0, 106.0)
    assert (generate.energy["cpu"].joules, generate.energy["cpu"].source) == (70.0, "sampled")
    assert generate.energy["gpu"].joules is None and "segment 1: no sensor" in generate.energy["gpu"].detail
    assert generate.peaks == {"memory/rss_peak_gib": 5.0}
    assert load is LOAD
    assert (found.job.duration_s, found.job.energy["cpu"].joules) == (68.0, 160.0)
    assert (found.carbon.energy_wh, found.carbon.duration_s, found.carbon.cpu_source) == (6.0, 20.0, "modelled")
    assert total(NOW, []) is NOW


def test_a_killed_process_has_no_codecarbon_figure_and_so_has_the_sum() -> None:
    found = total(NOW, [segment(1, window("generate", 60.0, 6.0, cpu=joules(30.0)))])
    assert found.carbon is None
    assert "killed" in found.unavailable["codecarbon total"]


def test_a_peak_that_a_killed_process_did_not_tell_is_unknown() -> None:
    killed = replace(window("generate", 60.0, 6.0), peaks={"memory/rss_peak_gib": 5.0})
    peaks = {"memory/rss_peak_gib": 3.0, "memory/vram_peak_gib": 2.0}
    now = replace(NOW, windows=(replace(window("generate", 102.0, 4.0), peaks=peaks),))
    found = total(now, [segment(1, killed)])
    generate = found.window("generate")
    assert generate is not None and generate.peaks == {"memory/rss_peak_gib": 5.0}
    assert found.unavailable["peaks"] == "memory/vram_peak_gib: a process was killed before it could tell"
    assert "peaks" not in total(NOW, [segment(1, window("generate", 60.0, 6.0))]).unavailable


KILLED_AFTER_A_BURST = """
import os, signal, sys
from pathlib import Path
from wattrack.monitors.host import HostMonitor
from wattrack.monitors.meter import Meter
from wattrack.job.segments import SegmentLog

with Meter([HostMonitor()]) as meter, meter.window("generate"):
    log = SegmentLog(Path(sys.argv[1]), "a", "here", meter, lambda: 1, None)
    longest_prompts = b"1" * (256 * 2**20)
    del longest_prompts
    log.write()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_peak_of_a_killed_process_is_in_the_sum(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_AFTER_A_BURST, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    now = replace(NOW, windows=(window("generate", 102.0, 4.0, peak=0.01),), job=window("job", 99.0, 8.0, peak=0.01))
    found = total(now, read(tmp_path / SEGMENTS))
    generate = found.window("generate")
    assert generate is not None and generate.peaks["memory/rss_peak_gib"] >= 0.25
    assert found.job is not None and found.job.peaks["memory/rss_peak_gib"] >= 0.25


def test_everything_may_have_been_answered_before() -> None:
    found = total(replace(NOW, windows=(LOAD,)), [segment(1, window("generate", 60.0, 6.0, cpu=joules(30.0)))])
    generate = found.window("generate")
    assert generate is not None
    assert (generate.duration_s, generate.energy["cpu"].joules) == (6.0, 30.0)


@given(
    st.lists(st.tuples(st.floats(0.01, 1e4), st.none() | st.floats(0, 1e6)), min_size=1, max_size=6),
)
def test_sums_of_any_segments(parts: list[tuple[float, float | None]]) -> None:
    made = [
        window("generate", 10_000.0 * i, seconds, cpu=NONE if j is None else joules(j))
        for i, (seconds, j) in enumerate(parts)
    ]
    *before, last = made
    found = total(replace(NOW, windows=(last,)), [segment(i, w) for i, w in enumerate(before, start=1)])
    generate = found.window("generate")
    assert generate is not None
    assert generate.duration_s == pytest.approx(sum(seconds for seconds, _ in parts))
    known = [j for _, j in parts if j is not None]
    expected = pytest.approx(sum(known)) if len(known) == len(parts) else None
    assert generate.energy["cpu"].joules == expected


def test_only_covered_answers_are_kept_and_failed_ones_are_asked_again(tmp_path: Path) -> None:
    interrupted(tmp_path, count=6, covered=4)
    found = find(tmp_path, "run", "a")
    assert found is not None
    assert [r.sample_id for r in found.responses] == ["0", "2", "3"]
    (first,) = found.segments
    assert first.computed_tokens == 11
    assert [w.name for w in first.windows] == ["load", "generate"]
    assert first.window("generate") == NOW.window("generate")


def test_a_continued_job_holds_the_segments_before_it(tmp_path: Path) -> None:
    interrupted(tmp_path, count=6, covered=4)
    before = find(tmp_path, "run", "a")
    (tmp_path / "next").mkdir()
    second = SegmentLog(tmp_path / "next", "a", "here", OpenWindow(NOW), lambda: 7, before)
    second.answered(2)
    second.write(CARBON)
    segments = read(tmp_path / "next" / SEGMENTS)
    assert [(s.number, s.answers, s.computed_tokens, s.carbon) for s in segments] == [
        (1, 4, 11, None), (2, 5, 7, CARBON),
    ]  # fmt: skip


def test_what_cannot_be_continued_is_left_with_a_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert find(tmp_path, "run", "a") is None, "never got as far as generating"
    interrupted(tmp_path, count=3, covered=3)
    found = find(tmp_path, "run", "a")
    assert found is not None
    assert of_machine([found], "here") is found
    assert of_machine([found], "elsewhere") is None
    assert "other hardware (here)" in caplog.text
    with (tmp_path / SEGMENTS).open("ab") as file:
        file.write(b'{"number": 2, "cut')
    assert find(tmp_path, "run", "a") is not None, "a line cut by a crash is dropped"
    with (tmp_path / SEGMENTS).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(DatasetError, match=r"segments\.jsonl:3: not a segment"):
        read(tmp_path / SEGMENTS)
    assert find(tmp_path, "run", "a") is None


KILLED_BETWEEN_BATCHES = """
import os, signal, sys
from pathlib import Path
from segment_examples import NOW, OpenWindow, answer
from wattrack.job import segments
from wattrack.journal import Journal

folder, computed = Path(sys.argv[1]), [0]
segments.CHECKPOINT_EVERY_S = 0.0
log = segments.SegmentLog(folder, "a", "here", OpenWindow(NOW), lambda: computed[0], None)
segments.CHECKPOINT_EVERY_S = 3600.0  # the first answer is due, no other
with Journal(folder / "responses.jsonl") as journal:
    for number in range(6):
        if number in (0, 4):
            computed[0] += 100  # a batch of four; of the next one, two have arrived
        journal.append(answer(number))
        log.answered(number + 1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_answers_that_finish_together_are_covered_together(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED_BETWEEN_BATCHES, str(tmp_path)], cwd=TESTS, check=False)
    assert done.returncode == -signal.SIGKILL
    found = find(tmp_path, "run", "a")
    assert found is not None
    assert [r.sample_id for r in found.responses] == ["0", "1", "2", "3"], "the window holds the work of these"
    (killed,) = found.segments
    assert (killed.computed_tokens, killed.window("generate")) == (100, NOW.window("generate"))
    assert len((tmp_path / SEGMENTS).read_bytes()) < 3 * len((tmp_path / SEGMENTS).read_bytes().splitlines()[0])


def test_an_interrupted_job_is_continued(
    run_here: Runner, outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("model=demo_xs", "limit=12", "probe_questions=0", "preset.batch_size=4")
    append = Journal.append
    written: list[str] = []

    def interrupting(self: Journal, response: Response) -> None:
        append(self, response)
        written.append(response.sample_id)
        if len(written) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", interrupting)
        assert run_here(*command) == 130
    (first,) = folders(outputs)
    assert json.loads((first / "summary.json").read_text("utf-8"))["status"] == "KILLED"
    covered = read(first / SEGMENTS)[-1].answers
    assert covered == 4, "the fifth was interrupted before it was counted"

    assert run_here(*command) == 0
    _, second = folders(outputs)
    assert "continuing run" in capsys.readouterr().out
    answers = [r.sample_id for r in read_journal(second / "responses.jsonl")]
    assert len(answers) == len(set(answers)) == 12
    assert answers[:4] == written[:4]
    finished, killed = sorted(runs(outputs), key=lambda r: r.info.status)
    assert (finished.info.status, killed.info.status) == ("FINISHED", "KILLED")
    assert finished.data.tags["wattrack.segments"] == "2"
    assert finished.data.tags["wattrack.continues"] == killed.info.run_id
    before, now = read(second / SEGMENTS)
    metrics = json.loads((second / "summary.json").read_text("utf-8"))["metrics"]
    windows = [s.window("generate") for s in (before, now)]
    assert metrics["time/generate_s"] == pytest.approx(sum(w.duration_s for w in windows if w is not None))
    assert metrics["tokens/computed"] == before.computed_tokens + now.computed_tokens
    assert before.computed_tokens > 0
    assert metrics["quality/n"] == 12


@pytest.mark.slow
def test_a_process_that_wrote_nothing_does_not_hide_what_others_left(
    run_here: Runner, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("model=demo_xs", "limit=4", "probe_questions=0")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for owner, name in ((loop, "latency_probe"), (segments, "open_journal")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, interrupt)
            assert run_here(*command) == 130
    assert run_here(*command) == 0
    (finished,) = [r for r in runs(outputs) if r.info.status == "FINISHED"]
    assert finished.data.tags["wattrack.segments"] == "2"
    assert sum(1 for f in folders(outputs) if (f / SEGMENTS).exists()) == 2


@pytest.mark.slow
def test_a_job_interrupted_in_its_probe_counts_no_token_of_the_probe(
    run_here: Runner, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("model=demo_xs", "limit=4", "probe_questions=4")

    def interrupted_probe(engine: Engine, requests: loop.Requests, meter: loop.Windows) -> list[Response]:
        with meter.window("probe"):
            list(loop.answers(engine, requests))
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(loop, "latency_probe", interrupted_probe)
        assert run_here(*command) == 130
    assert run_here(*command) == 0
    assert run_here(*command) == 0
    finished = [r for r in runs(outputs) if r.info.status == "FINISHED"]
    assert sorted(r.data.tags["wattrack.segments"] for r in finished) == ["1", "2"]
    continued, whole = (r.data.metrics["tokens/computed"] for r in finished)
    assert continued == whole


def test_never_starts_afresh_and_a_finished_run_is_never_reused(
    run_here: Runner, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: Journal, response: Response) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", interrupt)
        assert run_here("model=demo_xs", "limit=2", "probe_questions=0") == 130
    assert run_here("model=demo_xs", "limit=2", "probe_questions=0", "resume=never") == 0
    assert run_here("model=demo_xs", "limit=2", "probe_questions=0") == 0
    finished = [r for r in runs(outputs) if r.info.status == "FINISHED"]
    assert [r.data.tags["wattrack.segments"] for r in finished] == ["1", "1"]
    keys = {r.data.tags["wattrack.run_key"] for r in runs(outputs)}
    assert len(keys) == 1, "how a run may be continued does not change its identity"


@pytest.mark.slow
def test_kill_9_loses_nothing_that_was_measured(outputs: Path, environment: dict[str, str]) -> None:
    command = [
        sys.executable, "-m", "src.run", "model=demo_s", "preset.batch_size=1", "limit=400", "probe_questions=2",
        "hardware.threads=1",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not any(s[-1].answers for s in _segments(outputs)):
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
    (first,) = _segments(outputs)
    covered = first[-1].answers
    assert 0 < covered < 400

    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    assert f"{covered} of 400 answers are there" in done.stdout
    (folder,) = [f for f in folders(outputs) if (f / "records.parquet").exists()]
    assert len(read_journal(folder / "responses.jsonl")) == 400
    metrics = json.loads((folder / "summary.json").read_text("utf-8"))["metrics"]
    windows = [w for s in read(folder / SEGMENTS) if (w := s.window("generate")) is not None]
    assert metrics["time/generate_s"] == pytest.approx(sum(w.duration_s for w in windows))
    assert {r.info.status for r in runs(outputs)} == {"KILLED", "FINISHED"}


def _segments(root: Path) -> list[tuple[Segment, ...]]:
    return [segments for path in (root / "multirun").rglob(SEGMENTS) if (segments := read(path))]
