"""The way of an answer from the engine to the table in the store: how many of our functions it passes through."""

import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from types import FrameType

import mlflow

import wattrack
from scripted import TextEngine

PACKAGE = Path(wattrack.__file__).parent
MOST_FRAMES, MOST_CLIMBS = 9, 0
"""Functions that hold the answer on its way, and returns to a room that it had left. The numbers may only fall."""


def test_an_answer_takes_a_short_way_to_the_store(run_here: Callable[..., int]) -> None:
    stacks: dict[str, list[FrameType]] = {}
    logs_tables = mlflow.MlflowClient.log_table.__code__

    def look(frame: FrameType, event: str, arg: object) -> None:
        del arg
        code, local = frame.f_code, frame.f_locals
        if event == "return" and code is TextEngine.generate.__code__:
            stacks["answered"] = _ours(frame)
        elif event == "call" and code is logs_tables and local["artifact_file"] == "tables/predictions.json":
            stacks["shown"] = _ours(frame)

    sys.setprofile(look)
    try:
        assert run_here("limit=1", "probe_questions=0", "engine._target_=scripted.TextEngine") == 0
    finally:
        sys.setprofile(None)
    way = _way(stacks["answered"], stacks["shown"])
    print("\n".join(way))
    rooms = [room for room, _ in groupby(name.split(".")[0] for name in way)]
    assert way[0] == "job.loop.answers" and way[-1].startswith("tracking."), way
    assert len(way) <= MOST_FRAMES, way
    assert len(rooms) - len(set(rooms)) <= MOST_CLIMBS, rooms


def _ours(frame: FrameType | None) -> list[FrameType]:
    """The frames of this package's functions around a moment, the innermost first."""
    found = []
    while frame is not None:
        if Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
            found.append(frame)
        frame = frame.f_back
    return found


def _way(start: list[FrameType], end: list[FrameType]) -> list[str]:
    """Functions from the one that is handed the answer, out to the one that knows both moments, in to the last."""
    shared = next(frame for frame in start if frame in end)
    frames = [*start[: start.index(shared) + 1], *reversed(end[: end.index(shared)])]
    return [f"{f.f_globals['__name__'].removeprefix('wattrack.')}.{f.f_code.co_name}" for f in frames]
