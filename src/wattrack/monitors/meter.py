"""The meter: named windows over a set of monitors, and one sampler thread between their edges.

Covers: energy by part ("gpu", "cpu", "dram"), peaks and wall time of each window, with the device
synchronised at both edges.
Does not cover: attribution inside a window (prefill against decode), or to one of several jobs on the
same machine.
Resolution: that of the counters, see each monitor. A part that nothing can read is `unavailable` with a
reason, never 0.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from wattrack.errors import ConfigError, MonitorError
from wattrack.monitors import running, torch_peaks
from wattrack.monitors.sampler import Sampler
from wattrack.protocols import Monitor
from wattrack.schema import Energy, Readings, Window

log = logging.getLogger(__name__)

PARTS: Mapping[str, str] = {"gpu": "nvml", "cpu": "rapl", "dram": "rapl"}
"""Part of the machine -> the monitor that normally reads it."""
MIN_HZ, MAX_HZ = 1.0, 20.0
"""Slower leaves holes in integrated power; faster makes NVML return errors and zeros."""


@runtime_checkable
class RunningEnergy(Protocol):
    """A monitor that can tell energy inside an open window from readings it already has."""

    def energy_since(self, state: object) -> Mapping[str, Energy]:
        """Energy by part since `begin` gave `state`, as of the sampler's latest reading. No device call."""


@runtime_checkable
class RunningPeaks(Protocol):
    """A monitor that can tell the peaks of an open window from readings it already has."""

    def peaks_since(self, state: object) -> Mapping[str, float]:
        """Peaks by metric name since `begin` gave `state`. No device call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    asked: str
    name: str
    start_s: float
    start_unix_ms: int
    states: Mapping[str, object]
    reasons: Mapping[str, str]


def _nothing_to_wait_for() -> None:
    """The device of a job without an accelerator."""


class Meter:
    """Opens the monitors, samples them, and reads them at the edges of windows.

    Calls into one monitor never overlap: the sampler thread and the window edges share a lock.
    """

    def __init__(
        self,
        monitors: Sequence[Monitor],
        sample_hz: float = 5.0,
        synchronize: Callable[[], None] | None = None,
        neighbours: running.Neighbours = running.alone,
    ) -> None:
        """`neighbours` counts the jobs beside this one: their windows are flagged `contended`, all parts of them."""
        if not MIN_HZ <= sample_hz <= MAX_HZ:
            raise ConfigError(f"sample_hz={sample_hz}: expected {MIN_HZ:g} to {MAX_HZ:g} readings per second")
        self.synchronize: Callable[[], None] = synchronize or _nothing_to_wait_for
        """Waits until the device is idle; called at both edges. May be replaced between windows."""
        self._candidates = tuple(monitors)
        self._neighbours = neighbours
        self._sample_hz = sample_hz
        self._edge = threading.Lock()
        self._open: tuple[Monitor, ...] = ()
        self._sampler: Sampler | None = None
        self._current: _Opened | None = None
        self._whole: _Opened | None = None
        self._job: Window | None = None
        self._windows: list[Window] = []
        self._unavailable: dict[str, str] = {}
        self._facts: dict[str, str] = {}
        self._closed = False

    def __enter__(self) -> Self:
        if self._sampler is not None:
            raise MonitorError("a meter can be entered once; build a new one for the next job")
        opened: list[Monitor] = []
        for monitor in self._candidates:
            try:
                monitor.open()
                opened.append(monitor)
            except MonitorError as e:
                log.info("%s gives nothing: %s", monitor.name, e)
                self._unavailable[monitor.name] = str(e)
            except Exception as e:
                log.warning("%s broke while opening; the job goes on without it", monitor.name, exc_info=True)
                self._unavailable[monitor.name] = f"{type(e).__name__}: {e}"
        self._open = tuple(opened)
        self._sampler = Sampler(self._open, self._sample_hz, self._edge)
        self._sampler.start()
        self._whole = self._read_start("job", "job")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._sampler is not None:
            self._sampler.stop()
        if self._whole is not None:
            self._job = self._over_all_windows(self._read_end(self._whole, failed=error is not None))
        self._facts = self.facts()
        monitors, self._open, self._closed = self._open, (), True
        for monitor in monitors:
            try:
                monitor.close()
            except Exception as e:
                log.warning("%s did not close (%s): its handles stay open", monitor.name, e)
                log.debug("close failed", exc_info=True)

    @contextmanager
    def window(self, name: str) -> Iterator[str]:
        """Measure the body. Gives the window's final name: a repeated "x" becomes "x_2".

        A body that raises still closes its window, marked `failed` and without waiting for the device, and its
        exception goes on.
        """
        opened = self._begin(name)
        failed = True
        try:
            yield opened.name
            self.synchronize()
            failed = False
        finally:
            self._end(opened, failed)

    def readings(self) -> Readings:
        """Everything seen so far: closed windows, kept samples, and why any meter gave nothing."""
        sampler = self._sampler
        unreliable = sampler.unreliable if sampler else {}
        return Readings(
            windows=tuple(self._windows),
            samples=sampler.samples if sampler else (),
            carbon=None,
            unavailable=self._unavailable | {f"{name} samples": why for name, why in unreliable.items()},
            job=self._job,
        )

    def facts(self) -> dict[str, str]:
        """Hardware and methods found, for tags; after the `with` block, as they were at its end."""
        facts = dict(self._facts)
        with self._edge:
            for monitor in self._open:
                try:
                    facts |= monitor.facts()
                except Exception:
                    log.debug("%s.facts() failed", monitor.name, exc_info=True)
        return facts

    def so_far(self, name: str) -> Window | None:
        """The open window `name`, or the "job", up to now, marked failed; energy as of the latest sample.

        No device call. None when that window is not open. A peak that its monitor cannot tell before the end is absent.
        """
        if (opened := self._opened(name)) is None:
            return None
        peaks = torch_peaks.read()
        for monitor in self._open:
            if isinstance(monitor, RunningPeaks) and monitor.name in opened.states:
                _raise(peaks, monitor.peaks_since(opened.states[monitor.name]))
        if opened is self._whole:
            for window in self._windows:
                _raise(peaks, {k: v for k, v in window.peaks.items() if k in peaks})
        energy = self._with_neighbours(opened, self._energy_since(opened))
        return _window(opened, time.perf_counter(), energy, peaks, failed=True)

    def energy_so_far_j(self, name: str) -> float | None:
        """Measured and sampled joules of the open window `name` up to the latest sample, or None."""
        opened = self._opened(name)
        energy = self._energy_since(opened) if opened is not None else {}
        known = [e.joules for e in energy.values() if e.joules is not None]
        return sum(known) if known else None

    @property
    def overhead_s(self) -> float:
        """CPU seconds that the sampler thread has used so far."""
        return self._sampler.overhead_s if self._sampler else 0.0

    def _opened(self, name: str) -> _Opened | None:
        opened = self._whole if name == "job" else self._current
        return opened if opened is not None and not self._closed and name in (opened.name, opened.asked) else None

    def _energy_since(self, opened: _Opened) -> dict[str, Energy]:
        energy: dict[str, Energy] = {}
        for monitor in self._open:
            if isinstance(monitor, RunningEnergy) and monitor.name in opened.states:
                _take(energy, monitor.energy_since(opened.states[monitor.name]))
        return energy

    def _by_kind(self) -> tuple[list[Monitor], list[Monitor]]:
        """(monitors with energy counters, the others): only the former are read next to the clock."""
        counters: list[Monitor] = [m for m in self._open if isinstance(m, RunningEnergy)]
        return counters, [m for m in self._open if m not in counters]

    def _begin(self, asked: str) -> _Opened:
        if self._current is not None:
            raise MonitorError(f"window {asked!r} inside window {self._current.name!r}: windows may not overlap")
        if self._sampler is None or self._closed:
            raise MonitorError(f"window {asked!r} on a meter that is not open; use `with meter:` around it")
        taken = {w.name for w in self._windows}
        name, count = asked, 1
        while name in taken:
            count += 1
            name = f"{asked}_{count}"
        self.synchronize()
        self._current = self._read_start(asked, name)
        return self._current

    def _end(self, opened: _Opened, failed: bool) -> None:
        self._current = None
        self._windows.append(self._read_end(opened, failed))

    def _read_start(self, asked: str, name: str) -> _Opened:
        states: dict[str, object] = {}
        reasons: dict[str, str] = {}
        counters, others = self._by_kind()
        with self._edge:
            torch_peaks.reset()
            _begin_all(others, name, states, reasons)
            start_unix_ms = time.time_ns() // 1_000_000
            start_s = time.perf_counter()
            _begin_all(counters, name, states, reasons)
        return _Opened(
            asked=asked,
            name=name,
            start_s=start_s,
            start_unix_ms=start_unix_ms,
            states=states,
            reasons=reasons,
        )

    def _read_end(self, opened: _Opened, failed: bool) -> Window:
        reasons = dict(self._unavailable) | dict(opened.reasons)
        energy: dict[str, Energy] = {}
        counters, others = self._by_kind()
        with self._edge:
            read = _end_all(counters, opened, reasons)
            end_s = time.perf_counter()
            read += _end_all(others, opened, reasons)
            peaks = torch_peaks.read()
        for parts, highest in read:
            _take(energy, parts)
            _raise(peaks, highest)
        for part, meter_name in PARTS.items():
            if part not in energy:
                why = reasons.get(meter_name, f"no {meter_name} monitor in this job")
                energy[part] = Energy(joules=None, source="unavailable", detail=why)
        return _window(opened, end_s, self._with_neighbours(opened, energy), peaks, failed=failed)

    def _with_neighbours(self, opened: _Opened, energy: Mapping[str, Energy]) -> dict[str, Energy]:
        """Every part flagged, also those that nothing reads, where another job ran in the window: speed suffers too."""
        if self._neighbours(opened.start_unix_ms / 1000.0, time.time()) == 0:
            return dict(energy)
        unread = Energy(joules=None, source="unavailable", detail="not read before the end of its window")
        flagged = {part: energy.get(part, unread) for part in dict.fromkeys([*PARTS, *energy])}
        return {
            part: e if "contended" in e.flags else replace(e, flags=(*e.flags, "contended"))
            for part, e in flagged.items()
        }

    def _over_all_windows(self, job: Window) -> Window:
        """Peaks start anew with every window: the job's are the highest of them."""
        peaks = dict(job.peaks)
        for window in self._windows:
            _raise(peaks, window.peaks)
        return replace(job, peaks=peaks)


def _window(
    opened: _Opened, end_s: float, energy: Mapping[str, Energy], peaks: Mapping[str, float], *, failed: bool
) -> Window:
    return Window(
        name=opened.name,
        start_s=opened.start_s,
        end_s=end_s,
        start_unix_ms=opened.start_unix_ms,
        energy=energy,
        peaks=peaks,
        failed=failed,
    )


def _take(energy: dict[str, Energy], parts: Mapping[str, Energy]) -> None:
    """Add what another monitor read; a part that was read keeps its first figure."""
    energy |= {k: v for k, v in parts.items() if k not in energy or energy[k].joules is None}


def _raise(peaks: dict[str, float], highest: Mapping[str, float]) -> None:
    """Raise the peaks to those of another reading."""
    peaks |= {k: max(v, peaks.get(k, v)) for k, v in highest.items()}


def _begin_all(monitors: Sequence[Monitor], window: str, states: dict[str, object], reasons: dict[str, str]) -> None:
    for monitor in monitors:
        try:
            states[monitor.name] = monitor.begin()
        except Exception as e:
            log.debug("%s.begin() failed", monitor.name, exc_info=True)
            reasons[monitor.name] = _failure(monitor, "begin", window, e)


def _end_all(
    monitors: Sequence[Monitor], opened: _Opened, reasons: dict[str, str]
) -> list[tuple[Mapping[str, Energy], Mapping[str, float]]]:
    read = []
    for monitor in monitors:
        if monitor.name not in opened.states:
            continue
        try:
            read.append(monitor.end(opened.states[monitor.name]))
        except Exception as e:
            log.debug("%s.end() failed", monitor.name, exc_info=True)
            reasons[monitor.name] = _failure(monitor, "end", opened.name, e)
    return read


def _failure(monitor: Monitor, edge: str, window: str, error: Exception) -> str:
    """Log a monitor that broke at an edge; the text becomes the reason of the parts it should have read."""
    log.warning(
        "%s failed at the %s of window %r (%s): its parts are unavailable there",
        monitor.name,
        edge,
        window,
        error,
    )
    return f"{monitor.name} failed at the {edge} of the window: {error}"
