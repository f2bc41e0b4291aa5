"""One series of readings, several definitions of its energy; and of the time between tokens.

The readings (energy counter and instant power, 10 times a second) come from the GPU of this machine, whatever it is
doing then; without one from a scripted NVML library (tests/monitors/fake_nvml.c, needs a C compiler), where the exact
energy is known. Each definition is our own statement of what the named source does, and sees the same readings:

- ours: wattrack.monitors.gpu_energy over the window's edges, by counter and, as if there were none, by integrated power
- Zeus window: difference of the counter (ml-energy/zeus: zeus/monitor/energy.py, `end_window`)
- Zeus power: readings equal to the one before are dropped, those inside the window are joined by straight lines, fewer
  than two give 0 (zeus/monitor/power.py, `PowerMonitor.get_energy`; what its windows use for GPUs before Volta)
- mean W x t: codecarbon without a counter, the mean of one reading a second x duration; with one it takes the counter's
  difference (mlco2/codecarbon: codecarbon/core/gpu_device.py, `delta`). optimum-benchmark publishes codecarbon's figure
  of a task, in kWh (huggingface/optimum-benchmark: optimum_benchmark/trackers/energy.py)
- time between tokens, optimum-benchmark: the list of token events is not emptied between the runs of a session, so
  every run adds all earlier gaps again, and those between runs (optimum_benchmark/trackers/latency.py,
  `PerTokenLatencySessionTrackerLogitsProcessor.track`)

    python benchmarks/energy_definitions.py [--seconds 6] [--zeus PYTHON]

`--zeus` names the interpreter of an environment with Zeus 0.16; its own monitors then measure the scripted boards as
well, in a window of their own, to be held against their statement here.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from wattrack.monitors.gpu_energy import Counter, over_window
from wattrack.monitors.nvml import gpu_indices
from wattrack.results.summary import latency
from wattrack.schema import Energy, Response

PERIOD_S = 0.1
Reading = tuple[float, int, float]
"""Seconds on perf_counter, the counter in mJ, W."""

ZEUS = """
import json, sys, time
from zeus.monitor import PowerMonitor, ZeusMonitor

if __name__ == "__main__":
    window, power = ZeusMonitor(gpu_indices=[0], cpu_indices=[]), PowerMonitor(gpu_indices=[0], update_period=0.1)
    time.sleep(1.5)
    start_s = time.time()
    window.begin_window("x", sync_execution=False)
    time.sleep(float(sys.argv[1]))
    counted = window.end_window("x", sync_execution=False).gpu_energy[0]
    print(json.dumps([counted, power.get_energy(start_s, time.time())[0]]))
    power.stop()
"""


def record(seconds: float) -> list[Reading]:
    """Read GPU 0 until `seconds` have passed; the first and the last reading are the window's edges."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(gpu_indices()[0])
    wanted = [(pynvml.NVML_FI_DEV_POWER_INSTANT, pynvml.NVML_POWER_SCOPE_GPU)]
    readings: list[Reading] = []
    deadline_s = time.perf_counter()
    for _ in range(round(seconds / PERIOD_S) + 1):
        time.sleep(max(0.0, deadline_s - time.perf_counter()))
        deadline_s += PERIOD_S
        milliwatts = pynvml.nvmlDeviceGetFieldValues(handle, wanted)[0].value.uiVal
        counter = pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        readings.append((time.perf_counter(), counter, milliwatts / 1000))
    return readings


def ours(readings: Sequence[Reading], *, counter: bool) -> Energy:
    """What NvmlMonitor makes of them."""
    one = Counter()
    marks = [one.add(time_s, mj if counter else None, watts) for time_s, mj, watts in readings]
    return over_window(marks[0], marks[-1]).energy


def counter_difference_j(readings: Sequence[Reading]) -> float:
    """Zeus's window, and codecarbon's where there is a counter."""
    return (readings[-1][1] - readings[0][1]) / 1000


def zeus_power_j(readings: Sequence[Reading]) -> float:
    """Repeated readings dropped, trapezoid over the others; what began before the window is not known inside it."""
    changes = [next(same) for _, same in groupby(readings, key=lambda r: r[2])]
    # Zeus polls from before the window, so the window's first reading counts only if it is a change.
    seen = changes[1:]
    return sum((b[0] - a[0]) * (a[2] + b[2]) / 2 for a, b in pairwise(seen))


def mean_power_j(readings: Sequence[Reading]) -> float:
    """codecarbon without a counter: mean of one reading a second, times the duration."""
    every = readings[:: round(1 / PERIOD_S)]
    return statistics.fmean(watts for _, _, watts in every) * (readings[-1][0] - readings[0][0])


def optimum_gaps_s(runs: Sequence[Sequence[float]]) -> list[float]:
    """Gaps between token events as optimum-benchmark collects them over the runs of one session."""
    events: list[float] = []
    gaps: list[float] = []
    for run in runs:
        events.extend(run)
        gaps.extend(b - a for a, b in pairwise(events))
    return gaps


def scripted(seconds: float, zeus: str | None) -> None:
    """Record boards whose energy is known, one process each, and print the table."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from monitors.nvml_library import COMPILER, Board, compile_into, environment

    if COMPILER is None:
        raise SystemExit("no GPU and no C compiler (cc): nothing to read")
    boards = {
        "constant 300 W": Board(high_w=300.0),
        "square 100/400 W, 2 s": Board(high_w=400.0, low_w=100.0, period_s=2.0),
        "square 100/400 W, 0.7 s": Board(high_w=400.0, low_w=100.0, period_s=0.7),
        "square 100/400 W, 0.1 s": Board(high_w=400.0, low_w=100.0, period_s=0.1, tick_s=0.02),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compile_into(folder)
        program = folder / "zeus_windows.py"  # a file: Zeus starts processes that import the main module
        program.write_text(ZEUS)
        for title, board in boards.items():
            environ = {**environment(folder, [board]), "PYTHONPATH": os.pathsep.join(sys.path)}
            own = [sys.executable, __file__, "--record", "--seconds", str(seconds)]
            readings = [tuple(r) for r in _output(own, environ)]
            show(title, readings, board.joules(readings[0][0], readings[-1][0]))
            if zeus is not None:
                del environ["PYTHONPATH"]
                counted, integrated = _output([zeus, str(program), str(seconds)], environ)
                row("  Zeus itself, its own window", "", "", "", f"{counted:.1f}", f"{integrated:.1f}", "")


def _output(command: Sequence[str], environ: dict[str, str]) -> Any:
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def show(title: str, readings: Sequence[Reading], exact_j: float | None) -> None:
    """One row of the table, in joules."""
    exact = "" if exact_j is None else f"{exact_j:.1f}"
    peers = (counter_difference_j(readings), zeus_power_j(readings), mean_power_j(readings))
    own = (_bounded(ours(readings, counter=True)), _bounded(ours(readings, counter=False)))
    row(title, exact, *own, *(f"{joules:.1f}" for joules in peers))


def _bounded(energy: Energy) -> str:
    return "none" if energy.joules is None else f"{energy.joules:.1f} +- {energy.bound_j:.1f}"


def row(title: str, *cells: str) -> None:
    """Title and six cells."""
    widths = (9, 17, 18, 13, 12, 12)
    print(f"{title:30}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)), flush=True)


def show_latency() -> None:
    """Four runs of five tokens, 5 ms apart, with 50 ms between the runs."""
    runs = [[run * 0.07 + token * 0.005 for token in range(5)] for run in range(4)]
    probe = [
        Response(sample_id=str(n), repeat=0, text="x", finish_reason="stop", input_tokens=1, output_tokens=5,
                 token_times_s=tuple(t - run[0] + 0.01 for t in run))
        for n, run in enumerate(runs)
    ]  # fmt: skip
    gaps = optimum_gaps_s(runs)
    ours_s = latency(probe)["latency/itl_s_p50"]
    own = [b - a for run in runs for a, b in pairwise(run)]
    print("\ntime between tokens, 4 runs x 5 tokens, 5 ms apart, 50 ms between the runs")
    print(f"  ours: {len(own)} gaps, mean {1000 * statistics.fmean(own):.1f} ms, p50 {1000 * (ours_s or 0):.1f} ms")
    mean_ms, most_ms = 1000 * statistics.fmean(gaps), 1000 * max(gaps)
    print(f"  optimum-benchmark: {len(gaps)} gaps, mean {mean_ms:.1f} ms, max {most_ms:.0f} ms")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of the window")
    parser.add_argument("--zeus", help="interpreter of an environment with Zeus installed")
    parser.add_argument("--record", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.record:
        print(json.dumps(record(options.seconds)))
        return
    print(f"joules over {options.seconds:g} s, read every {PERIOD_S:g} s")
    row("load", "exact", "ours, counter", "ours, power", "Zeus window", "Zeus power", "mean W x t")
    if gpu_indices():
        show("this GPU", record(options.seconds), None)
    else:
        scripted(options.seconds, options.zeus)
    show_latency()


if __name__ == "__main__":
    main()
