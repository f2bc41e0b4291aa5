"""CPU and memory of the machine and of this process tree, through psutil.

Covers: processor and memory use of the whole machine; resident memory and CPU time of this process and
its descendants.
Does not cover: swapped or shared pages (a page shared by two processes of the tree counts twice), energy.
Resolution: `READ_EVERY_S`, or the sampler's period where that is longer; descendants are looked up at the edges and
about every `TREE_REFRESH_S` between them.
This process's own peak is exact (the kernel's high-water mark) on Linux, and elsewhere when it is a new record.
"""

import logging
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from wattrack.errors import MonitorError
from wattrack.schema import Energy

if TYPE_CHECKING:
    import psutil

log = logging.getLogger(__name__)

READ_EVERY_S = 0.5
"""Unlike power, these values need no fast sampling: nothing is integrated, and this process's peak is the kernel's.
Reading them interrupts the computation on a machine whose cores are all busy."""
TREE_REFRESH_S = 2.0
"""Listing descendants reads every process of the machine, so it is done less often than reading them."""
LISTING_SHARE = 0.0005
"""Most of the wall time that listing may take; on a machine with thousands of processes it is done less often."""
_GIB = 2**30


class HostMonitor:
    """psutil's view of the machine and the process tree."""

    name = "host"

    def __init__(self) -> None:
        self._self: psutil.Process | None = None
        self._children: list[psutil.Process] = []
        self._list_at_s = self._read_at_s = float("-inf")
        self._cpu: tuple[float, float] | None = None
        self._primed = False
        self._peak_bytes = 0

    def open(self) -> None:
        """Find this process."""
        try:
            import psutil
        except ImportError as e:
            raise MonitorError(f"psutil cannot be imported: {e}; pip install psutil") from e
        self._self = psutil.Process()

    def begin(self) -> object:
        """Start a new memory peak. The state is the kernel's high-water mark so far."""
        self._peak_bytes = 0
        self._read_at_s = float("-inf")  # every window has a reading of its own
        _reset_high_water()
        self._tree(fresh=True)
        return _high_water_bytes()

    def end(self, state: object) -> tuple[Mapping[str, Energy], Mapping[str, float]]:
        """No energy; the peak resident memory of the tree."""
        self._tree(fresh=True)
        return {}, self.peaks_since(state)

    def peaks_since(self, state: object) -> Mapping[str, float]:
        """The peak so far: of this process up to now, of its descendants as of the latest sample."""
        mark = _high_water_bytes()
        if mark != state:  # it moved, so the record was set inside this window
            self._peak_bytes = max(self._peak_bytes, mark)
        return {"memory/rss_peak_gib": self._peak_bytes / _GIB} if self._peak_bytes else {}

    def sample(self) -> Mapping[str, float]:
        """Machine and process-tree use, or nothing when it was read a moment ago.

        CPU shares need two readings, so the first sample has none.
        """
        import psutil

        if time.perf_counter() < self._read_at_s:
            return {}
        # A little early counts: the sampler's deadlines jitter.
        self._read_at_s = time.perf_counter() + 0.9 * READ_EVERY_S
        memory = psutil.virtual_memory()
        values = {
            "system/system_memory_usage_megabytes": memory.used / 1e6,
            "system/system_memory_usage_percentage": 100.0 * memory.used / memory.total,
        }
        busy = psutil.cpu_percent()
        if self._primed:
            values["system/cpu_utilization_percentage"] = busy
        self._primed = True
        rss_bytes, cpu_s = self._tree(fresh=False)
        now_s = time.perf_counter()
        if rss_bytes:
            values["system/process_rss_megabytes"] = rss_bytes / 1e6
        if self._cpu is not None and now_s > self._cpu[0]:
            share = (cpu_s - self._cpu[1]) / (now_s - self._cpu[0])
            values["system/process_cpu_percentage"] = 100.0 * max(0.0, share)
        self._cpu = (now_s, cpu_s)
        return values

    def facts(self) -> Mapping[str, str]:
        """Nothing that `environment.describe` does not already say."""
        return {}

    def close(self) -> None:
        """Forget the processes."""
        self._self, self._children = None, []

    def _tree(self, *, fresh: bool) -> tuple[int, float]:
        """(resident bytes, CPU seconds including finished children) of the tree; updates the peak."""
        import psutil

        if self._self is None:
            raise MonitorError("the host monitor is not open")
        now_s = time.perf_counter()
        if fresh or now_s >= self._list_at_s:
            self._children = self._self.children(recursive=True)
            took_s = time.perf_counter() - now_s
            self._list_at_s = now_s + max(TREE_REFRESH_S, took_s / LISTING_SHARE)
        rss_bytes, cpu_s = 0, 0.0
        for process in (self._self, *self._children):
            try:
                with process.oneshot():
                    rss_bytes += process.memory_info().rss
                    cpu_s += sum(process.cpu_times()[:4])
            except psutil.Error:
                continue
        self._peak_bytes = max(self._peak_bytes, rss_bytes)
        return rss_bytes, cpu_s


def _reset_high_water() -> None:
    """Bring the kernel's high-water mark down to what is resident now, where it allows that (Linux, own process)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError as e:
        log.debug("the high-water mark cannot be reset: %s", e)


def _high_water_bytes() -> int:
    """Most memory this process had resident since the mark was reset, or ever; 0 where the kernel does not say.

    Not `ru_maxrss` on Linux: a new process inherits that from the one that started it.
    """
    try:
        match = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(match[1]) * 1024 if match else 0
    except OSError:
        return _max_rss_bytes() if sys.platform == "darwin" else 0


def _max_rss_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
