"""Processor and memory energy from RAPL, the processor's own counters, through Linux powercap.

Covers: every package (part "cpu": cores, caches, memory controller) and, where the server exposes it,
DRAM (part "dram"), for the whole machine, Intel and AMD. Counters tick about every millisecond; windows
below 0.1 s are labelled. A counter that went back has wrapped around, or restarted from zero (suspend, driver
reload) where a wrap would mean a power that the zone cannot have: then the window has no figure.
Does not cover: GPU, disks, fans, power supply loss, one process's share, virtual machines and containers
(no counters there). Sub-domains core and uncore are inside the package and psys is around it, so neither
is added.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wattrack.errors import MonitorError
from wattrack.schema import Energy, EnergyFlag

SHORT_WINDOW_S = 0.1
_OVER_LIMIT, _MOST_W = 10.0, 10_000.0
"""Mean power that no zone has: so many times its own limit or, where it states none, so many watts. Generous: chips go
over their limits for a moment, and a restart is told from a wrap by kilowatts (the range is some 262 kJ)."""
_ABSENT = "no DRAM domain among the powercap zones"


class _Domain:
    """One counter, accumulated so that no wrap between two readings is lost."""

    def __init__(self, zone: Path, name: str) -> None:
        self.name = name
        self.part = "dram" if name.startswith("dram") else "cpu"
        self._file = zone / "energy_uj"
        self._range_uj = _number(zone / "max_energy_range_uj")
        self._last_uj, self._read_at_s = _number(self._file), time.perf_counter()
        self.total_uj = self.restarts = 0
        self.broken = self.restarted = ""
        limits_uw = [_limit(file) for file in zone.glob("constraint_*_power_limit_uw")]
        self.limit_w = max((uw for uw in limits_uw if uw), default=0) / 1e6 or None
        """The highest of its limits (the short-term one as a rule); None where it states none."""

    def read(self) -> int:
        """Microjoules since open. A failure sticks: the total would have a hole."""
        try:
            now_uj = _number(self._file)
        except MonitorError as e:
            self.broken = str(e)
            raise
        before_uj, before_s = self._last_uj, self._read_at_s
        self._last_uj, self._read_at_s = now_uj, time.perf_counter()
        step = now_uj - before_uj
        if step < 0:
            step += self._range_uj
            if step > self._most_uj(self._read_at_s - before_s):
                self.restarts += 1
                self.restarted = (
                    f"{self._file} restarted (suspend or driver reload?): a wrap would be {step / 1e6:.3g} J"
                )
                step = 0
        if step < 0:
            self.broken = f"{self._file} went backwards by more than its range"
            raise MonitorError(self.broken)
        self.total_uj += step
        return self.total_uj

    @property
    def count(self) -> tuple[str, int]:
        """Names what the total is a total of: those before and after a restart are not of one count."""
        return self.name, self.restarts

    def _most_uj(self, seconds: float) -> float:
        """More than this zone can use between two readings so far apart; a tick may fall between close ones."""
        watts = _MOST_W if self.limit_w is None else _OVER_LIMIT * self.limit_w
        return 1e6 * watts * (seconds + SHORT_WINDOW_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    time_s: float
    totals_uj: Mapping[tuple[str, int], int]
    """By the domain's `count`."""


class RaplMonitor:
    """RAPL counters below `root`."""

    name = "rapl"

    def __init__(self, root: str = "/sys/class/powercap") -> None:
        self._root = Path(root)
        self._domains: list[_Domain] = []
        self._sampled: _Edge | None = None
        self._read_at_s = 0.0

    def open(self) -> None:
        """Find the counters and read each once."""
        self._domains = _find(self._root)

    def begin(self) -> object:
        """Totals now."""
        return self._read()

    def end(self, state: object) -> tuple[Mapping[str, Energy], Mapping[str, float]]:
        """Energy of packages and DRAM since `state`."""
        assert isinstance(state, _Edge)
        now = self._read()
        return {part: self._energy(part, state, now) for part in ("cpu", "dram")}, {}

    def sample(self) -> Mapping[str, float]:
        """Mean power since the previous sample, which also keeps count of wraps."""
        before, now = self._sampled, self._read()
        self._sampled = now
        if before is None or now.time_s <= before.time_s:
            return {}
        watts: dict[str, float] = {}
        for part in ("cpu", "dram"):
            joules = self._joules(part, before, now)
            if joules is not None:
                watts[f"system/{part}_power_usage_watts"] = joules / (now.time_s - before.time_s)
        return watts

    def energy_since(self, state: object) -> Mapping[str, Energy]:
        """Packages and DRAM since `state`, from the totals already read."""
        assert isinstance(state, _Edge)
        now = _Edge(time_s=self._read_at_s, totals_uj={d.count: d.total_uj for d in self._domains if not d.broken})
        return {part: self._energy(part, state, now) for part in ("cpu", "dram")}

    def facts(self) -> Mapping[str, str]:
        """The counters in use, and the highest power that the packages may draw together."""
        if not self._domains:
            return {}
        limits_w = [d.limit_w for d in self._domains if d.part == "cpu"]
        known = [watts for watts in limits_w if watts is not None]
        limit = {"rapl.power_limit_w": f"{sum(known):g}"} if len(known) == len(limits_w) else {}
        return {"rapl.domains": ", ".join(d.name for d in self._domains), **limit}

    def close(self) -> None:
        """Forget the counters."""
        self._domains = []

    def _read(self) -> _Edge:
        totals: dict[tuple[str, int], int] = {}
        for domain in self._domains:
            if not domain.broken:
                try:
                    total_uj = domain.read()
                    totals[domain.count] = total_uj
                except MonitorError:
                    continue  # its reason stays in `broken` and becomes the window's detail
        self._read_at_s = time.perf_counter()
        return _Edge(time_s=self._read_at_s, totals_uj=totals)

    def _joules(self, part: str, start: _Edge, end: _Edge) -> float | None:
        """None unless every domain of the part was read at both edges and did not restart between them."""
        counts = [d.count for d in self._domains if d.part == part]
        if not counts or any(c not in start.totals_uj or c not in end.totals_uj for c in counts):
            return None
        return sum(end.totals_uj[c] - start.totals_uj[c] for c in counts) / 1e6

    def _energy(self, part: str, start: _Edge, end: _Edge) -> Energy:
        domains = [d for d in self._domains if d.part == part]
        joules = self._joules(part, start, end)
        if joules is None:
            reasons = [*(d.broken for d in domains), *(d.restarted for d in domains)]
            why = next((reason for reason in reasons if reason), _ABSENT)
            return Energy(joules=None, source="unavailable", detail=why)
        span_s = end.time_s - start.time_s
        if joules <= 0.0:
            why = f"the RAPL counter did not move in {span_s:.3f} s"
            return Energy(joules=None, source="unavailable", detail=why)
        detail = f"RAPL counter, {len(domains)} {'package' if part == 'cpu' else 'DRAM'} domain(s), whole machine"
        flags: tuple[EnergyFlag, ...] = ()
        if span_s < SHORT_WINDOW_S:
            flags = ("short_window",)
            detail += f"; window of {span_s:.3f} s is short against the counter's tick: indicative only"
        # No bound: the tick is known and the counter's own accuracy is not, so any figure would be too small.
        return Energy(joules=joules, source="measured", detail=detail, flags=flags)


def readable(root: str = "/sys/class/powercap") -> bool:
    """Whether package counters can be read here."""
    try:
        return bool(_find(Path(root)))
    except MonitorError:
        return False


def _find(root: Path) -> list[_Domain]:
    """Package and DRAM counters. The flat class folder lists zones and sub-zones side by side."""
    domains: list[_Domain] = []
    for zone in sorted(root.glob("intel-rapl:*")):
        try:
            label = (zone / "name").read_text().strip()
        except OSError:
            continue  # a zone that vanished or hides its name cannot be attributed to a part
        if label.startswith("package") or label == "dram":
            domains.append(_Domain(zone, f"{label}@{zone.name}"))
    if not any(d.part == "cpu" for d in domains):
        raise MonitorError(f"no RAPL package counters under {root} (virtual machine, container, or not Linux on x86)")
    return domains


def _limit(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None  # a zone may list a limit that it does not have


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except PermissionError as e:
        raise MonitorError(
            f"{file} is readable by root only; to measure processor energy run `sudo chmod a+r {file}` "
            "(per boot, for every zone; it reopens the side channel CVE-2020-8694 to local users)"
        ) from e
    except (OSError, ValueError) as e:
        raise MonitorError(f"{file} cannot be read: {e}") from e
