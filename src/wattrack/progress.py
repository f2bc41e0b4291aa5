"""Live progress of a job: one line with questions done, tokens/s, score so far and time left."""

import math
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from wattrack.schema import Response

_REDRAW_S = 1.0
_DRAWING_SHARE = 0.001
"""Most of the measured time that drawing may take; on slow terminals it is done less often."""
_SCORED_PER_DRAW = 16
"""Answers judged for the running score between two redraws; more would show in the measured time of small models."""
_PLAIN_EVERY_S = 10.0


class JobProgress:
    """Redraws about once a second and only when a response arrives: no thread of its own while measuring."""

    def __init__(self, console: Console, name: str, total: int, score: Callable[[Response], float]) -> None:
        """`score` judges one response for the running figure; it must be cheap and pure. NaN = no figure."""
        self._console, self._name, self._total, self._score = console, name, total, score
        self._done, self._tokens, self._failed = 0, 0, 0
        self._scored, self._correct, self._since_draw = 0, 0.0, 0
        self._interval_s = _REDRAW_S if console.is_terminal else _PLAIN_EVERY_S
        self._started_s = time.perf_counter()
        self._draw_at_s = self._started_s + self._interval_s
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeRemainingColumn(compact=True),
        )
        self._bar = Progress(*columns, console=console, auto_refresh=False) if console.is_terminal else None
        self._task = self._bar.add_task(name, total=total, figures="") if self._bar else None

    def __enter__(self) -> Self:
        self._started_s = time.perf_counter()
        self._draw_at_s = self._started_s + self._interval_s
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw()
        if self._bar:
            self._bar.stop()

    def __call__(self, response: Response) -> None:
        """Count one response."""
        self._done += 1
        self._tokens += response.usage.output_tokens or 0
        self._failed += response.error is not None
        if self._since_draw < _SCORED_PER_DRAW:
            self._since_draw += 1
            value = self._score(response)
            if not math.isnan(value):
                self._scored += 1
                self._correct += value
        if time.perf_counter() >= self._draw_at_s:
            self._draw()

    def _draw(self) -> None:
        now_s = time.perf_counter()
        self._print(max(now_s - self._started_s, 1e-9))
        took_s = time.perf_counter() - now_s
        self._draw_at_s = now_s + max(self._interval_s, took_s / _DRAWING_SHARE)
        self._since_draw = 0

    def _print(self, elapsed_s: float) -> None:
        # Choices generate nothing: their speed is in questions.
        figures = (
            f"{self._tokens / elapsed_s:,.0f} tok/s" if self._tokens else f"{self._done / elapsed_s:.3g} questions/s"
        )
        if self._scored:
            of = "" if self._scored == self._done else f" (a sample of {self._scored})"
            figures += f"  score {self._correct / self._scored:.1%}{of}"
        if self._failed:
            figures += f"  {self._failed} failed"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, figures=figures, refresh=True)
            return
        left_s = elapsed_s / self._done * (self._total - self._done) if self._done else None
        left = "" if left_s is None else f"  {left_s:.0f} s left"
        self._console.print(
            f"{self._name}  {self._done}/{self._total}  {figures}{left}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
