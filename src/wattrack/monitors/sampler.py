"""The sampler: one daemon thread that reads every monitor at a fixed rate.

Covers: instantaneous values at 1 to 20 Hz, on absolute deadlines, with its own CPU time counted
(`overhead_s`).
Does not cover: peaks between two readings. A stall of the interpreter delays readings; missed ones are
skipped, not made up.
Memory is bounded: beyond `MAX_SAMPLES` every second kept sample is dropped and from then on only every
second is kept. The first, taken before the model loads, always stays. What a dropped sample had read and the next
kept one had not goes there: a monitor that answers every other sample (the host's) would else fall silent.
"""

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from wattrack.protocols import Monitor
from wattrack.schema import SystemSample

log = logging.getLogger(__name__)

MAX_SAMPLES = 16_384
"""At 5 Hz this keeps full resolution for 54 minutes, then half of it, and so on."""
KEEPS_FAILING = 3
"""Failures in a row after which a monitor's sampling is reported as unreliable."""


class Sampler:
    """Reads `monitors` at `hz` until stopped. `edge` serialises it with whoever else reads them."""

    def __init__(self, monitors: Sequence[Monitor], hz: float, edge: threading.Lock) -> None:
        self._monitors = tuple(monitors)
        self._period_s = 1.0 / hz
        self._edge = edge
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wattrack-sampler", daemon=True)
        self._samples: list[SystemSample] = []
        self._dropped: dict[str, float] = {}
        """The latest readings since the last kept sample."""
        self._stride = 1
        self._taken = 0
        self._failed: dict[str, int] = {}
        self._in_a_row: dict[str, int] = {}
        self._noted: dict[str, str] = {}
        self.overhead_s = 0.0
        """CPU seconds this thread has used."""

    def start(self) -> None:
        """Begin sampling."""
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait for the reading in progress. Idempotent."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def samples(self) -> tuple[SystemSample, ...]:
        """What was kept so far, oldest first."""
        with self._edge:
            return tuple(self._samples)

    @property
    def unreliable(self) -> dict[str, str]:
        """Monitor name -> how often and why its sampling failed, for those that kept failing."""
        return {
            name: f"{self._failed[name]} of {self._taken} samples failed; last: {reason}"
            for name, reason in dict(self._noted).items()
        }

    def _run(self) -> None:
        deadline = time.perf_counter()
        while not self._stop.wait(max(0.0, deadline - time.perf_counter())):
            self._take()
            self.overhead_s = time.thread_time()
            late = time.perf_counter() - deadline
            deadline += self._period_s * (1 + int(max(0.0, late) // self._period_s))

    def _take(self) -> None:
        now_s, unix_ms = time.perf_counter(), time.time_ns() // 1_000_000
        values: dict[str, float] = {}
        for monitor in self._monitors:
            values.update(self._read(monitor))
        with self._edge:
            self._dropped |= values
            if self._taken % self._stride == 0:
                self._samples.append(SystemSample(time_s=now_s, unix_ms=unix_ms, values=self._dropped))
                self._dropped = {}
            self._taken += 1
            if len(self._samples) > MAX_SAMPLES:
                self._samples = _thinned(self._samples)
                self._stride *= 2

    def _read(self, monitor: Monitor) -> Mapping[str, float]:
        try:
            with self._edge:
                values = monitor.sample()
        except Exception as e:
            log.debug("%s.sample() failed", monitor.name, exc_info=True)
            self._failed[monitor.name] = self._failed.get(monitor.name, 0) + 1
            self._in_a_row[monitor.name] = self._in_a_row.get(monitor.name, 0) + 1
            if self._in_a_row[monitor.name] == KEEPS_FAILING:
                log.warning("%s cannot be sampled (%s): its series and peaks have holes", monitor.name, e)
            if self._in_a_row[monitor.name] >= KEEPS_FAILING:
                self._noted[monitor.name] = f"{type(e).__name__}: {e}"
            return {}
        self._in_a_row[monitor.name] = 0
        return values


def _thinned(samples: Sequence[SystemSample]) -> list[SystemSample]:
    """The first, third, fifth, ... sample, each with what only the dropped one before it had read."""
    dropped: list[Mapping[str, float]] = [{}, *(s.values for s in samples[1::2])]
    return [replace(s, values={**d, **s.values}) for d, s in zip(dropped, samples[::2], strict=False)]
