"""Windows, the sampler thread and what happens when monitors or bodies fail."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattrack.errors import ConfigError, MonitorError
from wattrack.monitors import sampler
from wattrack.monitors.meter import Meter
from wattrack.schema import Energy


class CountingMonitor:
    """A counter that the test moves by hand, and that fails where the test says."""

    def __init__(self, name: str = "nvml", part: str = "gpu", fails: str = "") -> None:
        self.name, self.part, self.fails = name, part, fails
        self.joules = 0.0
        self.calls: list[str] = []

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if what in self.fails.split():
            raise MonitorError(f"{what} is broken")

    def open(self) -> None:
        self._called("open")

    def begin(self) -> object:
        self._called("begin")
        return self.joules

    def end(self, state: object) -> tuple[Mapping[str, Energy], Mapping[str, float]]:
        self._called("end")
        assert isinstance(state, float)
        return {self.part: Energy(joules=self.joules - state, source="measured")}, {"memory/vram_peak_gib": 1.0}

    def sample(self) -> Mapping[str, float]:
        self._called("sample")
        return {f"system/{self.name}_watts": 100.0}

    def energy_since(self, state: object) -> Mapping[str, Energy]:
        assert isinstance(state, float)
        return {self.part: Energy(joules=self.joules - state, source="measured")}

    def facts(self) -> Mapping[str, str]:
        return {f"{self.name}.method": "hand"}

    def close(self) -> None:
        self._called("close")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.perf_counter() + 5.0
    while not condition():
        assert time.perf_counter() < deadline_s, "did not happen within 5 s"
        time.sleep(0.005)


def test_a_window_reads_every_part_and_marks_the_missing_ones() -> None:
    monitor = CountingMonitor()
    with Meter([monitor, CountingMonitor(name="rapl", part="cpu", fails="open")]) as meter:
        with meter.window("generate"):
            monitor.joules = 42.0
        window = meter.readings().window("generate")
        assert meter.readings().unavailable == {"rapl": "open is broken"}
    assert window is not None and not window.failed and window.duration_s > 0.0
    assert window.energy == {
        "gpu": Energy(joules=42.0, source="measured"),
        "cpu": Energy(joules=None, source="unavailable", detail="open is broken"),
        "dram": Energy(joules=None, source="unavailable", detail="open is broken"),
    }
    assert window.peaks["memory/vram_peak_gib"] == 1.0
    assert meter.facts() == {"nvml.method": "hand"}


def test_without_monitors_every_part_says_so() -> None:
    with Meter([]) as meter, meter.window("x"):
        assert meter.energy_so_far_j("x") is None
    window = meter.readings().windows[0]
    assert {(e.joules, e.source) for e in window.energy.values()} == {(None, "unavailable")}
    assert all(e.detail for e in window.energy.values())


def test_the_device_is_synchronised_around_the_counters() -> None:
    order: list[str] = []
    monitor = CountingMonitor()
    monitor.calls = order
    with Meter([monitor], sample_hz=1.0) as meter:
        wait_until(lambda: "sample" in order)
        order.clear()
        meter.synchronize = lambda: order.append("sync")
        with meter.window("x"):
            order.append("body")
        assert [c for c in order if c != "sample"] == ["sync", "begin", "body", "sync", "end"]


def test_windows_may_not_overlap_and_the_outer_one_survives() -> None:
    with Meter([CountingMonitor()]) as meter:
        with (
            meter.window("outer"),
            pytest.raises(MonitorError, match="'inner' inside window 'outer'"),
            meter.window("inner"),
        ):
            pass
        with meter.window("after"):
            pass
    assert [(w.name, w.failed) for w in meter.readings().windows] == [("outer", False), ("after", False)]


def test_a_repeated_name_gets_a_number() -> None:
    with Meter([]) as meter:
        names = []
        for _ in range(3):
            with meter.window("x") as name:
                names.append(name)
    assert names == ["x", "x_2", "x_3"] == [w.name for w in meter.readings().windows]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_a_body_that_raises_closes_its_window_as_failed(error: BaseException) -> None:
    monitor = CountingMonitor()
    with Meter([monitor]) as meter:
        with pytest.raises(type(error)), meter.window("x"):
            monitor.joules = 5.0
            raise error
        with meter.window("y"):
            pass
    first, second = meter.readings().windows
    assert first.failed and first.energy["gpu"].joules == 5.0
    assert not second.failed


def test_a_device_that_fails_to_synchronise_fails_the_window() -> None:
    calls = []

    def synchronize() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("device assert")

    with (
        Meter([CountingMonitor()], synchronize=synchronize) as meter,
        pytest.raises(RuntimeError, match="device assert"),
        meter.window("x"),
    ):
        pass
    assert [(w.name, w.failed) for w in meter.readings().windows] == [("x", True)]


@pytest.mark.parametrize("edge", ["begin", "end"])
def test_a_monitor_that_breaks_at_an_edge_costs_only_its_parts(edge: str) -> None:
    rapl = CountingMonitor(name="rapl", part="cpu")
    with Meter([CountingMonitor(fails=edge), rapl]) as meter, meter.window("x"):
        rapl.joules = 3.0
    energy = meter.readings().windows[0].energy
    assert energy["cpu"].joules == 3.0
    assert energy["gpu"].joules is None and f"{edge} is broken" in energy["gpu"].detail


def test_a_second_monitor_fills_a_part_that_the_first_could_not_read() -> None:
    class Blind(CountingMonitor):
        def end(self, state: object) -> tuple[Mapping[str, Energy], Mapping[str, float]]:
            return {"gpu": Energy(joules=None, source="unavailable", detail="blind")}, {}

    other = CountingMonitor(name="other")
    with Meter([Blind(), other]) as meter, meter.window("x"):
        other.joules = 2.0
    assert meter.readings().windows[0].energy["gpu"].joules == 2.0


def test_the_sampler_survives_a_broken_monitor_and_says_so() -> None:
    good, bad = CountingMonitor(), CountingMonitor(name="rapl", fails="sample")
    with Meter([bad, good], sample_hz=20.0) as meter:
        wait_until(lambda: bad.calls.count("sample") > sampler.KEEPS_FAILING + 1)
    readings = meter.readings()
    assert all(s.values == {"system/nvml_watts": 100.0} for s in readings.samples)
    assert "samples failed; last: MonitorError: sample is broken" in readings.unavailable["rapl samples"]


def test_the_sampler_thread_is_one_daemon_that_really_stops() -> None:
    def threads() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name == "wattrack-sampler"]

    monitor = CountingMonitor()
    with Meter([monitor], sample_hz=20.0) as meter:
        assert [t.daemon for t in threads()] == [True]
        wait_until(lambda: monitor.calls.count("sample") >= 3)
    assert threads() == []
    assert monitor.calls[-1] == "close"
    taken = len(meter.readings().samples)
    time.sleep(0.12)
    assert len(meter.readings().samples) == taken
    assert meter.overhead_s > 0.0
    with pytest.raises(MonitorError, match="not open"), meter.window("late"):
        pass
    with pytest.raises(MonitorError, match="once"), meter:
        pass


def test_samples_keep_their_rate_and_order() -> None:
    with Meter([CountingMonitor()], sample_hz=20.0) as meter:
        time.sleep(0.5)
    times = [s.time_s for s in meter.readings().samples]
    assert 4 <= len(times) <= 12
    assert times == sorted(times)


def test_kept_samples_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "MAX_SAMPLES", 8)
    thread = sampler.Sampler([CountingMonitor()], 20.0, threading.Lock())
    for _ in range(1000):
        thread._take()
        assert len(thread.samples) <= 8
    assert len(thread.samples) >= 4


@pytest.mark.parametrize(("every", "phase"), [(2, 1), (3, 0), (4, 3), (5, 2)])
def test_a_long_job_keeps_its_first_sample_an_even_spacing_and_slow_readings(
    monkeypatch: pytest.MonkeyPatch, every: int, phase: int
) -> None:
    class SlowMonitor(CountingMonitor):
        """Numbers its samples from 0; `slow` is read at some of them only, as the host is."""

        def sample(self) -> Mapping[str, float]:
            super().sample()
            number = float(len(self.calls) - 1)
            return {"number": number, **({"slow": number} if number % every == phase else {})}

    monkeypatch.setattr(sampler, "MAX_SAMPLES", 8)
    thread = sampler.Sampler([SlowMonitor()], 20.0, threading.Lock())
    for _ in range(1000):
        thread._take()
        numbers = [s.values["number"] for s in thread.samples]
        assert numbers[0] == 0.0
        assert len({b - a for a, b in pairwise(numbers)}) <= 1
    values = [s.values for s in thread.samples]
    assert ("slow" in values[0]) == (phase == 0), "the first sample is what was read before the model loaded"
    for before, after in pairwise(values):
        assert before["number"] < after["slow"] <= after["number"], "the latest slow reading since the sample before"
        assert after["number"] - after["slow"] < every


def test_running_energy_counts_from_the_opening_edge() -> None:
    gpu, cpu = CountingMonitor(), CountingMonitor(name="rapl", part="cpu")
    gpu.joules = 100.0
    with Meter([gpu, cpu]) as meter:
        assert meter.energy_so_far_j("x") is None
        with meter.window("x"):
            gpu.joules, cpu.joules = 103.0, 4.0
            assert meter.energy_so_far_j("x") == 7.0
            assert meter.energy_so_far_j("y") is None
        with meter.window("x"):
            gpu.joules = 104.0
            assert meter.energy_so_far_j("x") == meter.energy_so_far_j("x_2") == 1.0
        assert meter.energy_so_far_j("x") is None


def test_the_job_is_from_opening_to_closing_with_the_highest_peaks() -> None:
    gpu = CountingMonitor()
    with Meter([gpu]) as meter:
        gpu.joules = 1.0
        for name in ("load", "generate"):
            with meter.window(name):
                gpu.joules += 10.0
        gpu.joules += 0.5
        assert meter.readings().job is None, "not before it ended"
    readings = meter.readings()
    assert readings.job is not None and not readings.job.failed
    assert readings.job.energy["gpu"].joules == 21.5
    assert readings.job.duration_s >= sum(w.duration_s for w in readings.windows)
    assert readings.job.peaks == {"memory/vram_peak_gib": 1.0}


def test_an_open_window_can_be_read_without_touching_the_device() -> None:
    gpu = CountingMonitor()
    with Meter([gpu], sample_hz=1.0) as meter, meter.window("generate"):
        gpu.joules = 5.0
        before = [c for c in gpu.calls if c != "sample"]
        window = meter.so_far("generate")
        assert window is not None and window.failed and window.duration_s > 0.0
        assert window.energy == {"gpu": Energy(joules=5.0, source="measured")}
        assert [c for c in gpu.calls if c != "sample"] == before
    assert meter.so_far("generate") is None


class PeakMonitor(CountingMonitor):
    """One that knows its peak before the end."""

    def peaks_since(self, state: object) -> Mapping[str, float]:
        return {"memory/rss_peak_gib": self.joules}


def test_an_open_window_has_the_peaks_that_are_known_before_its_end() -> None:
    host = PeakMonitor("host", "cpu")
    with Meter([CountingMonitor(), host]) as meter:
        host.joules = 3.0
        with meter.window("load"):
            pass
        with meter.window("generate"):
            host.joules = 5.0
            window, job = meter.so_far("generate"), meter.so_far("job")
    assert window is not None and window.peaks == {"memory/rss_peak_gib": 5.0}
    assert job is not None and job.peaks == {"memory/rss_peak_gib": 5.0}, "that of the load says nothing of later"


class FakeCuda(ModuleType):
    """torch.cuda with two devices."""

    def __init__(self, ready: bool) -> None:
        super().__init__("torch.cuda")
        self.ready, self.resets = ready, 0

    def is_initialized(self) -> bool:
        return self.ready

    def device_count(self) -> int:
        return 2

    def reset_peak_memory_stats(self, device: int) -> None:
        self.resets += 1

    def max_memory_allocated(self, device: int) -> int:
        return 2**30

    def max_memory_reserved(self, device: int) -> int:
        return 2 * 2**30


@pytest.mark.parametrize("ready", [True, False])
def test_torch_peaks_are_read_only_when_the_job_uses_cuda(ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = FakeCuda(ready)
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    monkeypatch.setitem(sys.modules, "torch.cuda", cuda)
    with Meter([]) as meter, meter.window("x"):
        pass
    sums = {"memory/vram_allocated_peak_gib": 2.0, "memory/vram_reserved_peak_gib": 4.0}
    each = {f"cuda:{d}/{kind}_peak_gib": gib for d in (0, 1) for kind, gib in (("allocated", 1.0), ("reserved", 2.0))}
    expected = sums | each if ready else {}
    assert meter.readings().windows[0].peaks == expected
    assert cuda.resets == (4 if ready else 0), "for the job and for its window, on two devices"
    job = meter.readings().job
    assert job is not None and job.peaks == expected


IMPORTS = """
import sys, time
start = time.perf_counter()
from wattrack import environment
from wattrack.monitors import carbon, host, meter, nvml, rapl
print(time.perf_counter() - start)
assert not {"torch", "pynvml", "codecarbon", "psutil"} & sys.modules.keys(), sys.modules.keys()
"""


def test_importing_the_monitors_loads_no_library() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.0


@pytest.mark.parametrize("hz", [0.0, 0.5, 21.0, -1.0])
def test_a_rate_out_of_range_is_refused(hz: float) -> None:
    with pytest.raises(ConfigError, match="sample_hz"):
        Meter([], sample_hz=hz)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.floats(0.0, 1e4), st.floats(0.0, 1e4)), max_size=8))
def test_windows_never_add_up_to_more_than_the_whole(steps: list[tuple[float, float]]) -> None:
    monitor = CountingMonitor()
    with Meter([monitor], sample_hz=1.0) as meter:
        for inside, between in steps:
            with meter.window("x"):
                monitor.joules += inside
            monitor.joules += between
    parts = [w.energy["gpu"].joules or 0.0 for w in meter.readings().windows]
    assert sum(parts) <= monitor.joules * (1 + 1e-9) + 1e-9
    assert len(parts) == len(steps)
