"""An output folder that is used again: nothing finished is lost, and no job gets the answers of another."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import CHECKOUT
from wattrack.journal import Journal, read_journal
from wattrack.schema import Response

KILLED_AT_EVERY_STEP = """
import os, shutil, signal, sys
from pathlib import Path
from segment_examples import NOW, OpenWindow, answer, interrupted
from wattrack.job.segments import SegmentLog, find, open_journal

root, scenario = Path(sys.argv[1]), sys.argv[2]
steps = [0, 0]  # taken, and the one that kills

def killing(real):
    def step(*args, **kwargs):
        steps[0] += 1
        if steps[0] == steps[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return step

def begin(folder, key):
    earlier = find(folder, "run", key)
    with open_journal(folder, earlier) as journal:
        log = SegmentLog(folder, key, "here", OpenWindow(NOW), lambda: 11, earlier)
        journal.append(answer(9))
        log.answered(1)
        log.write()

def kept(folder, key):
    earlier = find(folder, "run", key)
    return [r.sample_id for r in earlier.responses] if earlier is not None else []

code = 1
while code:
    steps[1] += 1
    folder = root / str(steps[1])
    folder.mkdir()
    interrupted(folder, count=6, covered=4)
    if scenario == "back to the first job":
        begin(folder, "b")
    if (child := os.fork()) == 0:
        for owner, name in ((Path, "open"), (Path, "replace"), (Path, "rename"), (shutil, "copyfile")):
            setattr(owner, name, killing(getattr(owner, name)))
        begin(folder, "b" if scenario == "another job" else "a")
        os._exit(0)
    code = os.waitpid(child, 0)[1]
    print(steps[1], "".join(kept(folder, "a")), "".join(kept(folder, "b")), sep=",")
"""


@pytest.mark.parametrize(
    ("scenario", "first", "other"),
    [
        ("the same job", {"023", "0239"}, {""}),
        ("another job", {"023"}, {"", "9"}),
        ("back to the first job", {"023", "0239"}, {"9"}),
    ],
)
def test_a_folder_that_is_used_again_loses_nothing_at_any_step(
    tmp_path: Path, scenario: str, first: set[str], other: set[str]
) -> None:
    command = [sys.executable, "-c", KILLED_AT_EVERY_STEP, str(tmp_path), scenario]
    done = subprocess.run(command, cwd=CHECKOUT / "tests", capture_output=True, text=True, check=True)
    outcomes = [line.split(",") for line in done.stdout.splitlines()]
    assert len(outcomes) > 5, "it was killed before each of several steps"
    assert {kept for _, kept, _ in outcomes} == first
    assert {kept for _, _, kept in outcomes} == other


@pytest.mark.slow
def test_a_folder_used_again_gives_no_job_the_answers_of_another(
    run_here: Callable[..., int], outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = outputs / "mine"
    command = ("model=demo_s", "limit=4", "probe_questions=0", "preset.batch_size=1", f"hydra.run.dir={folder}")
    assert run_here("model=demo_xs", *command[1:]) == 0
    theirs = read_journal(folder / "responses.jsonl")
    append = Journal.append
    written: list[Response] = []

    def interrupting(self: Journal, response: Response) -> None:
        append(self, response)
        written.append(response)
        if len(written) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "append", interrupting)
        assert run_here(*command) == 130
    assert run_here(*command) == 0
    answers = read_journal(folder / "responses.jsonl")
    assert answers[:2] == written[:2] and len({r.sample_id for r in answers}) == len(answers) == 4
    assert read_journal(folder / "responses.1.jsonl") == theirs
