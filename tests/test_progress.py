"""The live line: what it says, and that it says it rarely."""

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

from support import flat_response
from wattrack import progress
from wattrack.answering import Usage
from wattrack.progress import JobProgress
from wattrack.schema import Response


def response(error: str | None = None) -> Response:
    return flat_response(
        sample_id="a", repeat=0, text="", finish_reason="stop", input_tokens=1, output_tokens=10, error=error
    )


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_where_there_is_no_terminal() -> None:
    console = Console(file=io.StringIO(), width=200)
    with JobProgress(console, "m · d", 4, lambda r: 1.0) as line:
        for _ in range(3):
            line(response())
        line(response("too long"))
    lines = shown(console).splitlines()
    assert len(lines) == 1  # all of it took less than the interval
    assert "m · d  4/4" in lines[0]
    assert "score 100.0%" in lines[0]
    assert "1 failed" in lines[0]
    assert "0 s left" in lines[0]


def test_plain_lines_come_at_their_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.0)
    monkeypatch.setattr(progress, "_DRAWING_SHARE", float("inf"))
    console = Console(file=io.StringIO(), width=200)
    with JobProgress(console, "m", 2, lambda r: 0.5) as line:
        line(response())
        line(response())
    assert [text.split("  ")[1] for text in shown(console).splitlines()] == ["1/2", "2/2", "2/2"]


def test_one_line_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with JobProgress(console, "m", 1, lambda r: 1.0) as line:
        line(response())
    assert "1/1" in shown(console)


def test_interrupted_before_the_first_answer() -> None:
    console = Console(file=io.StringIO(), width=200)
    with pytest.raises(KeyboardInterrupt), JobProgress(console, "m", 1, lambda r: 1.0):
        raise KeyboardInterrupt
    assert "0/1" in shown(console)


def test_choices_are_counted_in_questions() -> None:
    console = Console(file=io.StringIO(), width=200)
    with JobProgress(console, "m", 1, lambda r: 1.0) as line:
        line(replace(response(), usage=Usage(output_tokens=0), logprobs=(-1.0, -2.0)))
    assert "questions/s" in shown(console) and "tok/s" not in shown(console)


def test_the_score_is_of_the_answers_judged() -> None:
    """Of many answers between two redraws only some are judged: the share is of those, and says how many."""
    console = Console(file=io.StringIO(), width=200)
    with JobProgress(console, "m", 100, lambda r: 1.0) as line:
        for _ in range(100):
            line(response())
    assert "100/100" in shown(console) and "score 100.0% (a sample of 16)" in shown(console)


class SlowConsole(Console):
    def print(self, *args: object, **options: object) -> None:
        time.sleep(0.01)
        super().print(*args, **options)  # type: ignore[arg-type]


def test_a_slow_terminal_is_written_to_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.0)
    console = SlowConsole(file=io.StringIO(), width=200)
    with JobProgress(console, "m", 50, lambda r: 1.0) as line:
        for _ in range(50):
            line(response())
    assert len(shown(console).splitlines()) == 2  # the first, and the one at the end
