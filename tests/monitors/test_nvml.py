"""The real NvmlMonitor over a scripted NVML, and the mapping of CUDA_VISIBLE_DEVICES."""

import importlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest

from monitors.fake_nvml import LOST, NO_PERMISSION, NOT_SUPPORTED, Clock, FakeGpu, build, scripted, steady
from wattrack.errors import MonitorError
from wattrack.monitors.nvml import NvmlMonitor, gpu_indices
from wattrack.monitors.visible import Chosen, Gpu, resolve
from wattrack.schema import Energy

Install = Callable[..., NvmlMonitor]

A, B = (
    Gpu(index=0, uuid="GPU-aaaa1111-22"),
    Gpu(index=1, uuid="GPU-aabb3333-44", migs=("MIG-cc55", "MIG-dd66")),
)


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, (Chosen(index=0), Chosen(index=1))),
        ("", ()),
        ("-1", ()),
        ("0", (Chosen(index=0),)),
        ("1,0", (Chosen(index=1), Chosen(index=0))),
        ("0,0", (Chosen(index=0),)),
        ("0,9,1", (Chosen(index=0),)),
        ("GPU-aabb3333-44", (Chosen(index=1),)),
        ("GPU-aabb", (Chosen(index=1),)),
        ("GPU-aa", ()),
        ("MIG-dd66", (Chosen(index=1, mig="MIG-dd66"),)),
        ("MIG-GPU-aabb3333-44/1/0", (Chosen(index=1, mig="MIG-GPU-aabb3333-44/1/0"),)),
        ("MIG-", ()),
        ("NoDevFiles", ()),
    ],
)
def test_visible_devices_name_the_gpus_that_cuda_would_show(visible: str | None, expected: tuple[Chosen, ...]) -> None:
    assert resolve(visible, [A, B]) == expected


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The monitor's clock, moved by hand."""
    clock = Clock()
    monkeypatch.setattr("wattrack.monitors.nvml.time", clock)
    return clock


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Iterator[Install]:
    """Install a fake NVML with these GPUs and open a monitor on it."""
    opened: list[NvmlMonitor] = []

    monkeypatch.setattr("wattrack.monitors.gpu_processes.shares_numbers", lambda: True)

    def install(*gpus: FakeGpu, visible: str | None = None, init_error: int | None = None) -> NvmlMonitor:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setitem(sys.modules, "pynvml", build(list(gpus), init_error))
        monitor = NvmlMonitor(visible)
        monitor.open()
        opened.append(monitor)
        return monitor

    yield install
    for monitor in opened:
        monitor.close()


def measure(monitor: NvmlMonitor, clock: Clock, steps: Sequence[float] = (1.0,) * 6) -> Energy:
    """A window with a sample after every step."""
    state = monitor.begin()
    for step in steps:
        clock.now_s += step
        monitor.sample()
    return monitor.end(state)[0]["gpu"]


def test_the_counter_difference_is_exact(fake: Install, clock: Clock) -> None:
    energy = measure(fake(FakeGpu(counter_mj=scripted(1_000, 1_000, 501_000))), clock, ())
    assert (energy.joules, energy.source) == (500.0, "measured")


def test_constant_power_gives_the_same_joules_from_counter_and_samples(fake: Install, clock: Clock) -> None:
    steps = (0.2, 0.2, 0.7, 2.9, 1.0, 0.0)
    counted = measure(fake(FakeGpu(counter_mj=clock.counter(100.0))), clock, steps)
    sampled = measure(fake(FakeGpu()), clock, steps)
    assert (counted.joules, counted.source) == (pytest.approx(500.0), "measured")
    assert (sampled.joules, sampled.source) == (pytest.approx(500.0), "sampled")
    assert "integrated power +0.0%" in counted.detail and "shorter" not in counted.detail
    assert "power integrated over" in sampled.detail


def test_two_gpus_add_up_and_the_label_says_how(fake: Install, clock: Clock) -> None:
    gpus = FakeGpu(counter_mj=clock.counter(300.0)), FakeGpu(uuid="GPU-b", power_w=steady(50.0))
    energy = measure(fake(*gpus), clock)
    assert (energy.joules, energy.source) == (pytest.approx(2100.0), "sampled")
    assert "2 GPU(s)" in energy.detail and "counter" in energy.detail


@pytest.mark.parametrize(
    ("length_s", "label", "flag"), [(0.05, "tick: not usable", "below_tick"), (2.0, "indicative only", "short_window")]
)
def test_a_short_window_is_labelled(fake: Install, clock: Clock, length_s: float, label: str, flag: str) -> None:
    energy = measure(fake(FakeGpu(counter_mj=clock.counter(300.0))), clock, (length_s,))
    assert energy.joules == pytest.approx(300.0 * length_s) and label in energy.detail
    assert energy.flags == (flag,)


def test_counter_and_power_that_disagree_are_both_shown(fake: Install, clock: Clock) -> None:
    gpu = FakeGpu(counter_mj=clock.counter(100.0), power_w=steady(175.0))
    energy = measure(fake(gpu), clock, (1.0,) * 12)
    assert energy.joules == pytest.approx(1200.0)
    assert "integrated power +75.0% (the two disagree)" in energy.detail
    assert (energy.cross_check_j, energy.flags) == (pytest.approx(2100.0), ("methods_disagree",))
    short = measure(fake(gpu), clock, (1.0,) * 9)
    assert (short.cross_check_j, short.flags) == (pytest.approx(1575.0), ())


def test_a_counter_that_goes_back_invalidates_only_its_window(fake: Install, clock: Clock) -> None:
    monitor = fake(FakeGpu(counter_mj=scripted(900_000, 900_000, 100, 200, 5_200)))
    broken = measure(monitor, clock, ())
    assert (broken.joules, broken.source) == (None, "unavailable")
    assert "backwards" in broken.detail
    assert measure(monitor, clock, ()).joules == pytest.approx(5.0)


def test_a_counter_reset_between_two_samples_is_noticed(fake: Install, clock: Clock) -> None:
    monitor = fake(FakeGpu(counter_mj=scripted(1_000, 1_000, 500, 9_000, 9_000)))
    assert "backwards" in measure(monitor, clock, (1.0, 1.0)).detail


def test_a_stuck_counter_falls_back_to_power(fake: Install, clock: Clock) -> None:
    energy = measure(fake(FakeGpu(counter_mj=scripted(7_000))), clock)
    assert (energy.joules, energy.source) == (pytest.approx(600.0), "sampled")
    assert "did not move" in energy.detail


def test_a_stuck_counter_without_power_is_unavailable(fake: Install, clock: Clock) -> None:
    gpu = FakeGpu(counter_mj=scripted(7_000), fail={"power": NOT_SUPPORTED, "instant": NOT_SUPPORTED})
    energy = measure(fake(gpu), clock)
    assert energy.joules is None and "did not move in 6.000 s" in energy.detail


def test_power_with_a_hole_is_unavailable(fake: Install, clock: Clock) -> None:
    assert measure(fake(FakeGpu()), clock, (1.0, 4.0, 1.0)).joules is None


def test_nothing_readable_is_unavailable_and_never_zero(fake: Install, clock: Clock) -> None:
    denied = {"energy": NO_PERMISSION, "power": NO_PERMISSION, "instant": NOT_SUPPORTED}
    energy = measure(fake(FakeGpu(fail=denied)), clock)
    assert (energy.joules, energy.source) == (None, "unavailable")
    assert "Insufficient Permissions" in energy.detail


def test_a_gpu_lost_inside_a_window_makes_it_unavailable(fake: Install, clock: Clock) -> None:
    gpu, other = (
        FakeGpu(counter_mj=clock.counter(100.0)),
        FakeGpu(uuid="GPU-b", counter_mj=clock.counter(50.0)),
    )
    monitor = fake(gpu, other)
    state = monitor.begin()
    clock.now_s += 1.0
    gpu.fail["*"] = LOST
    assert not any(k.startswith("system/gpu_0") for k in monitor.sample())
    assert monitor.sample()["system/gpu_1_power_usage_watts"] == 100.0
    energy = monitor.end(state)[0]["gpu"]
    assert energy.joules is None
    assert "GPU 0" in energy.detail and "lost" in energy.detail
    assert monitor.energy_since(state)["gpu"].joules is None


def test_each_reading_is_absent_on_its_own(fake: Install, clock: Clock) -> None:
    monitor = fake(FakeGpu(fail={"utilisation": NOT_SUPPORTED, "temperature": NOT_SUPPORTED, "instant": NOT_SUPPORTED}))
    assert monitor.sample() == {
        "system/gpu_0_power_usage_watts": 100.0,
        "system/gpu_0_memory_usage_megabytes": 2 * 2**30 / 1e6,
        "system/gpu_0_memory_usage_percentage": 25.0,
        "system/gpu_0_temperature_celsius": 60.0,
        "system/gpu_0_sm_clock_mhz": 1980.0,
    }


def test_peak_memory_is_the_highest_sampled_and_starts_anew_per_window(fake: Install, clock: Clock) -> None:
    gpu = FakeGpu(counter_mj=clock.counter(100.0), fail={"memory v2": NOT_SUPPORTED})
    monitor = fake(gpu)
    assert monitor.facts()["gpu.memory_at_start_gib"] == "2"
    state = monitor.begin()
    clock.now_s += 1.0
    gpu.used_bytes, gpu.processes = 5 * 2**30, {os.getpid(): 2 * 2**30, 1: 2**30}
    monitor.sample()
    assert monitor.peaks_since(state)["memory/vram_peak_gib"] == 5.0  # what a killed process leaves
    gpu.used_bytes, gpu.processes = 3 * 2**30, {os.getpid(): 2**30}
    names = ("memory/vram_peak_gib", "gpu_0/memory_peak_gib", "memory/vram_occupancy_percent")
    names += ("memory/vram_added_gib", "memory/vram_process_peak_gib")
    assert monitor.end(state)[1] == dict(zip(names, (5.0, 5.0, 62.5, 3.0, 2.0), strict=True))
    assert monitor.end(monitor.begin())[1] == dict(zip(names, (3.0, 3.0, 37.5, 1.0, 1.0), strict=True))


def test_what_others_gave_back_is_not_counted_as_ours(fake: Install, clock: Clock) -> None:
    gpu = FakeGpu(counter_mj=clock.counter(100.0), processes={1: 2**30})
    monitor = fake(gpu)
    gpu.used_bytes, gpu.processes = 2**30, {}
    assert "memory/vram_added_gib" not in monitor.end(monitor.begin())[1]


def test_unreadable_memory_has_no_peak(fake: Install, clock: Clock) -> None:
    unreadable = dict.fromkeys(("memory", "memory v2", "processes"), NOT_SUPPORTED)
    monitor = fake(FakeGpu(fail=unreadable))
    assert monitor.end(monitor.begin())[1] == {}


def test_a_mig_slice_measures_its_parent_and_says_so(fake: Install, clock: Clock) -> None:
    ours = {os.getpid(): 2**30}
    slices = [FakeGpu(uuid="MIG-11", used_bytes=2**30), FakeGpu(uuid="MIG-22", used_bytes=3 * 2**30, processes=ours)]
    parent = FakeGpu(counter_mj=scripted(0, 0, 9_000), used_bytes=7 * 2**30, migs=slices)
    monitor = fake(parent, visible="MIG-22")
    state = monitor.begin()
    parts, peaks = monitor.end(state)
    assert parts["gpu"].joules == pytest.approx(9.0) and "parent GPU" in parts["gpu"].detail
    assert parts["gpu"].flags == ("below_tick", "parent_gpu")
    assert (peaks["memory/vram_peak_gib"], peaks["memory/vram_process_peak_gib"]) == (3.0, 1.0)
    assert (monitor.facts()["gpu.scope"], monitor.facts()["gpu.mig_mode"]) == ("parent_gpu", "on")


def test_what_disturbs_a_window_is_written_beside_the_number(fake: Install, clock: Clock) -> None:
    gpu = FakeGpu(counter_mj=clock.counter(100.0), throttle=0x44, processes={os.getpid(): 2**30, 1: 2**30})
    monitor = fake(gpu)
    energy = measure(monitor, clock)
    assert "throttled: hardware thermal; at the power limit" in energy.detail
    assert "processes of others on these GPUs: 1 at the start, 1 at the end" in energy.detail
    assert energy.flags == ("contended", "throttled")
    assert monitor.facts()["gpu.other_processes_at_start"] == "1"


def test_the_power_limit_is_no_fault(fake: Install, clock: Clock) -> None:
    energy = measure(fake(FakeGpu(counter_mj=clock.counter(100.0), throttle=0x4)), clock)
    assert energy.flags == () and "at the power limit" in energy.detail


@pytest.mark.parametrize("edge", ["start", "end"])
def test_someone_else_at_either_edge_makes_a_window_contended(fake: Install, clock: Clock, edge: str) -> None:
    gpu = FakeGpu(counter_mj=clock.counter(100.0))
    monitor = fake(gpu)
    gpu.processes = {1: 2**30} if edge == "start" else {}
    state = monitor.begin()
    clock.now_s += 6.0
    gpu.processes = {1: 2**30} if edge == "end" else {}
    energy = monitor.end(state)[0]["gpu"]
    assert energy.flags == ("contended",) and f"1 at the {edge}" in energy.detail
    assert measure(fake(FakeGpu(counter_mj=clock.counter(100.0))), clock).flags == ()


def test_someone_else_who_came_and_left_inside_a_window_makes_it_contended(fake: Install, clock: Clock) -> None:
    gpu = FakeGpu(counter_mj=clock.counter(100.0))
    monitor = fake(gpu)
    state = monitor.begin()
    for processes in ({}, {1: 2**30, 2: 2**30}, {1: 2**30}, {}, {}):
        clock.now_s += 1.2
        gpu.processes = processes
        monitor.sample()
    killed, closed = monitor.energy_since(state)["gpu"], monitor.end(state)[0]["gpu"]
    assert killed.flags == closed.flags == ("contended",)
    assert "0 at the start, 0 at the end, at most 2 at once" in closed.detail
    assert measure(monitor, clock).flags == (), "the next window starts anew"


def test_the_running_energy_grows_with_samples_only(fake: Install, clock: Clock) -> None:
    monitor = fake(FakeGpu(counter_mj=scripted(0, 0, 4_000, 9_000)))
    state = monitor.begin()
    assert monitor.energy_since(state)["gpu"].joules is None
    clock.now_s += 1.0
    monitor.sample()
    assert monitor.energy_since(state)["gpu"].joules == pytest.approx(4.0)
    assert monitor.energy_since(state)["gpu"].joules == pytest.approx(4.0)


def test_the_running_energy_has_the_flags_of_the_closed_window(fake: Install, clock: Clock) -> None:
    gpu = FakeGpu(counter_mj=clock.counter(100.0), throttle=0x40, processes={1: 2**30})
    monitor = fake(gpu)
    state = monitor.begin()
    clock.now_s += 6.0
    monitor.sample()
    killed = monitor.energy_since(state)["gpu"]
    assert killed.flags == ("contended", "throttled") and "hardware thermal" in killed.detail
    assert killed == monitor.end(state)[0]["gpu"], "a process killed now leaves the labels that a closed window has"


def test_refusals_say_why(
    fake: Install, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)  # a job run in this process sets it
    with pytest.raises(MonitorError, match="NVML does not start"):
        fake(FakeGpu(), init_error=12)
    with pytest.raises(MonitorError, match="no GPU in scope"):
        fake(FakeGpu(), visible="")
    assert sys.modules["pynvml"].running == 0
    with pytest.raises(MonitorError, match="GPU is lost"):
        fake(FakeGpu(fail={"uuid": LOST}))
    with caplog.at_level(logging.WARNING):
        fake(FakeGpu(), FakeGpu(uuid="GPU-b", name="Fake T4")).facts()
    assert "CUDA may number them otherwise" in caplog.text


def test_facts_name_the_hardware(fake: Install, clock: Clock) -> None:
    assert fake(FakeGpu(counter_mj=clock.counter(1.0))).facts() == {
        "gpu.name": "Fake H100",
        "gpu.count": "1",
        "gpu.indices": "0",
        "gpu.scope": "gpu",
        "gpu.method": "counter",
        "gpu.power_limit_w": "700",
        "gpu.driver": "580.65",
        "gpu.cuda_driver": "13.2",
        "gpu.sm_clock_max_mhz": "1980",
        "gpu.memory_bandwidth_gb_s": "1555",
        "gpu.memory_at_start_gib": "2",
        "gpu.persistence_mode": "on",
        "gpu.ecc": "on",
        "gpu.pcie_generation": "5",
        "gpu.compute_mode": "exclusive process",
        "gpu.mig_mode": "off",
    }


def test_gpu_indices_follow_the_environment(fake: Install, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(FakeGpu(uuid="GPU-a"), FakeGpu(uuid="GPU-b"))
    assert gpu_indices() == [0, 1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b")
    assert gpu_indices() == [1]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpu_indices() == []


def test_the_fake_stands_for_names_that_the_real_library_has() -> None:
    real = importlib.import_module("pynvml")
    wanted = [name for name in vars(build([FakeGpu()])) if name.lower().startswith("nvml")]
    assert len(wanted) > 20
    assert [name for name in wanted if name not in vars(real)] == []
    assert (real.NVML_ERROR_NOT_SUPPORTED, real.NVML_FI_DEV_POWER_INSTANT) == (NOT_SUPPORTED, 186)
