"""psutil's view, on a real child process that allocates memory."""

import subprocess
import sys
import time

import psutil
import pytest

from wattrack.errors import MonitorError
from wattrack.monitors import host
from wattrack.monitors.host import HostMonitor

CHILD_BYTES = 96 * 2**20
CHILD = f"x = b'1' * {CHILD_BYTES}; print('ready', flush=True); input(); print(sum(range(3_000_000)))"


@pytest.fixture
def monitor():
    host = HostMonitor()
    host.open()
    yield host
    host.close()
    host.close()


def test_the_peak_covers_children_that_come_and_go(monitor: HostMonitor) -> None:
    own_bytes = psutil.Process().memory_info().rss
    state = monitor.begin()
    with subprocess.Popen(
        [sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        monitor._list_at_s = float("-inf")
        monitor.sample()
        time.sleep(host.READ_EVERY_S)
        child.communicate("\n")
    values = monitor.sample()
    energy, peaks = monitor.end(state)
    assert energy == {}
    assert peaks["memory/rss_peak_gib"] * 2**30 >= own_bytes + CHILD_BYTES
    assert values["system/process_rss_megabytes"] * 1e6 < peaks["memory/rss_peak_gib"] * 2**30
    assert monitor.end(monitor.begin())[1]["memory/rss_peak_gib"] < peaks["memory/rss_peak_gib"]


def test_shares_need_two_readings(monitor: HostMonitor) -> None:
    first = monitor.sample()
    assert not [name for name in first if "cpu" in name]
    assert monitor.sample() == {}  # it was read a moment ago
    deadline_s = time.perf_counter() + host.READ_EVERY_S
    while time.perf_counter() < deadline_s:
        pass
    second = monitor.sample()
    assert second["system/process_cpu_percentage"] > 20.0
    assert 0.0 <= second["system/cpu_utilization_percentage"] <= 100.0
    assert 0.0 < second["system/system_memory_usage_percentage"] < 100.0
    assert second["system/system_memory_usage_megabytes"] > 10.0


BURST = f"""
from wattrack.monitors.host import HostMonitor
host = HostMonitor()
host.open()
state = host.begin()
before = host.sample()["system/process_rss_megabytes"] * 1e6
burst = b"1" * {CHILD_BYTES}
del burst
print(host.end(state)[1]["memory/rss_peak_gib"] * 2**30 - before)
print(host.end(host.begin())[1]["memory/rss_peak_gib"] * 2**30 - before)
"""


def test_a_short_burst_between_samples_is_in_the_peak() -> None:
    done = subprocess.run([sys.executable, "-c", BURST], capture_output=True, text=True, check=True)
    with_burst, without = map(float, done.stdout.split())
    assert with_burst >= 0.9 * CHILD_BYTES
    assert without <= 0.5 * CHILD_BYTES


def test_a_closed_monitor_refuses() -> None:
    with pytest.raises(MonitorError, match="not open"):
        HostMonitor().sample()
