"""The energy of GPUs over a window, from counter and power readings; pure, it never touches a device.

Covers: counter difference where both edges were read and the counter moved and never went back; else
integrated power where the readings cover the window; else nothing, with the reason. Never 0 J: a powered
GPU always draws some.
Does not cover: readings nobody took.
Resolution: one counter tick, or the sampler's period.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from wattrack.monitors.integral import IntegralMark, PowerIntegral
from wattrack.schema import Energy

TICK_S = 0.1
"""Typical update period of the energy counter (10 to 100 ms by model)."""
SENSOR_ERROR = 0.05
"""Tolerance of the board's power sensor."""
SHORT_WINDOW_S = 5.0
"""Below this the tick and the sensor's duty cycle dominate; the detail says so."""
CROSS_CHECK = 0.15
"""Relative difference of counter and integrated power that is worth a note, in windows of 10 s or more."""
_MIN_COVERED = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One GPU at one moment."""

    time_s: float
    millijoules: int | None
    """The counter; None when it cannot be read."""
    watts: float | None
    integral: IntegralMark
    resets: int
    """Times the counter was seen going backwards."""
    reason: str
    """Why counter or power could not be read, when they could not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Energy of one GPU over one window, with its bound and what the other method says."""

    energy: Energy
    bound_j: float = 0.0
    duration_s: float = 0.0
    integrated_j: float | None = None


class Counter:
    """Readings of one GPU as they come."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        """Reading -> why it failed last."""
        self._integral = PowerIntegral()
        self._last_mj: int | None = None
        self._resets = 0
        self.mark = Mark(
            time_s=0.0,
            millijoules=None,
            watts=None,
            integral=self._integral.mark(),
            resets=0,
            reason="not read yet",
        )
        """The latest reading."""

    def add(self, time_s: float, millijoules: int | None, watts: float | None) -> Mark:
        """Take one reading of both kinds."""
        if millijoules is not None:
            if self._last_mj is not None and millijoules < self._last_mj:
                self._resets += 1
            self._last_mj = millijoules
            self.reasons.pop("energy counter", None)
        if watts is not None:
            self._integral.add(time_s, watts)
            self.reasons.pop("power", None)
        self.mark = Mark(
            time_s=time_s,
            millijoules=millijoules,
            watts=watts,
            integral=self._integral.mark(),
            resets=self._resets,
            reason="; ".join(v for k, v in self.reasons.items() if k in ("energy counter", "power")),
        )
        return self.mark


def over_window(start: Mark, end: Mark) -> Share:
    """Energy of one GPU between two readings."""
    duration_s = end.time_s - start.time_s
    if end.resets > start.resets:
        return _nothing("the energy counter went backwards (driver reload or GPU reset)")
    integrated = _integrated(start, end)
    if start.millijoules is not None and end.millijoules is not None and end.millijoules > start.millijoules:
        joules = (end.millijoules - start.millijoules) / 1000.0
        tick_j = max(start.watts or 0.0, end.watts or 0.0, joules / duration_s if duration_s > 0 else 0.0) * TICK_S
        return Share(
            energy=Energy(joules=joules, source="measured", detail="energy counter"),
            bound_j=tick_j + SENSOR_ERROR * joules,
            duration_s=duration_s,
            integrated_j=integrated,
        )
    stuck = start.millijoules is not None and end.millijoules is not None
    if integrated is not None:
        readings = end.integral.readings - start.integral.readings + 1
        why = "; the counter did not move" if stuck else ""
        return Share(
            energy=Energy(
                joules=integrated, source="sampled", detail=f"power integrated over {readings} readings{why}"
            ),
            bound_j=SENSOR_ERROR * integrated,
            duration_s=duration_s,
        )
    if stuck:
        return _nothing(f"the energy counter did not move in {duration_s:.3f} s and power cannot be read")
    return _nothing(end.reason or start.reason or "neither counter nor power could be read throughout the window")


def total(shares: Mapping[int, Share], notes: str) -> Energy:
    """Sum over GPUs; one unreadable GPU makes the sum unavailable, because a part is not the whole."""
    missing = [f"GPU {i}: {s.energy.detail}" for i, s in shares.items() if s.energy.joules is None]
    if missing or not shares:
        return Energy(joules=None, source="unavailable", detail="; ".join(missing) or "no GPU in scope")
    joules = sum(s.energy.joules or 0.0 for s in shares.values())
    measured = all(s.energy.source == "measured" for s in shares.values())
    details = dict.fromkeys(s.energy.detail for s in shares.values())
    text = f"{', '.join(details)}, {len(shares)} GPU(s), +-{sum(s.bound_j for s in shares.values()):.3g} J"
    duration_s = max(s.duration_s for s in shares.values())
    if duration_s < TICK_S:
        text += f"; window of {duration_s:.3f} s is shorter than the {TICK_S:g} s tick: not usable for comparison"
    elif duration_s < SHORT_WINDOW_S:
        text += f"; window of {duration_s:.2f} s is shorter than {SHORT_WINDOW_S:g} s: indicative only"
    integrated = [s.integrated_j for s in shares.values() if s.integrated_j is not None]
    if measured and len(integrated) == len(shares):
        difference = sum(integrated) / joules - 1.0
        text += f"; integrated power {difference:+.1%}"
        if duration_s >= 2 * SHORT_WINDOW_S and abs(difference) > CROSS_CHECK:
            text += " (the two disagree)"
    if notes:
        text += f"; {notes}"
    return Energy(joules=joules, source="measured" if measured else "sampled", detail=text)


def _integrated(start: Mark, end: Mark) -> float | None:
    """Joules under the power readings, when they reach both edges, cover the window and are not all zero."""
    if start.watts is None or end.watts is None:
        return None
    duration_s = end.time_s - start.time_s
    covered_s = end.integral.covered_s - start.integral.covered_s
    joules = end.integral.joules - start.integral.joules
    return joules if joules > 0.0 and covered_s >= _MIN_COVERED * duration_s else None


def _nothing(why: str) -> Share:
    return Share(energy=Energy(joules=None, source="unavailable", detail=why))
