"""What the sampler costs: the same generation while it reads 10 times a second, and without it.

Unlike overhead.py nothing else differs: no journal, no live line, no codecarbon; every monitor that the hardware choice
gives stays open on both sides. A lap is two bare sides and one with the sampler, in rotating order; sides are short,
because a shared machine drifts. Printed: throughput with the sampler / without (geometric mean of the lap's bare sides;
1 = free), the same for the two bare sides (what this machine makes of no difference at all), each as the median over
the laps with its 95 % interval, and the CPU time of the sampler's thread as a share of one core.
Target: at most 1 % of throughput.

    python benchmarks/monitor_overhead.py [LAPS] [MODEL] [HARDWARE]
"""

import math
import sys
import threading

from overhead import bare_s, prepare, show

from wattrack.errors import MonitorError
from wattrack.monitors.sampler import Sampler
from wattrack.protocols import Monitor
from wattrack.settings import build

SAMPLE_HZ = 10.0
QUESTIONS = 64


def opened(monitors: list[Monitor]) -> list[Monitor]:
    """Those that this machine has, inside an open window."""
    found = []
    for monitor in monitors:
        try:
            monitor.open()
        except MonitorError:
            continue
        monitor.begin()
        found.append(monitor)
    return found


def main(laps: int, model: str, hardware: str) -> None:
    """Measure and print one table."""
    cfg, _, engine, requests = prepare(model, f"hardware={hardware}")
    requests = requests[:QUESTIONS]
    monitors = opened(build.monitors(cfg))
    cpu_s, wall_s = 0.0, 0.0

    def sampled_s() -> float:
        nonlocal cpu_s, wall_s
        sampler = Sampler(monitors, SAMPLE_HZ, threading.Lock())
        sampler.start()
        seconds = bare_s(engine, requests)
        sampler.stop()
        cpu_s, wall_s = cpu_s + sampler.overhead_s, wall_s + seconds
        return seconds

    sampled, equal = [], []
    for lap in range(laps):
        seconds = [0.0, 0.0, 0.0]
        for turn in range(3):
            side = (lap + turn) % 3
            seconds[side] = sampled_s() if side == 2 else bare_s(engine, requests)
        sampled.append(math.sqrt(seconds[0] * seconds[1]) / seconds[2])
        equal.append(seconds[0] / seconds[1])
    names = " ".join(monitor.name for monitor in monitors)
    print(f"{model}, {len(requests)} questions, {laps} laps, monitors: {names}, {SAMPLE_HZ:g} Hz")
    show("throughput with the sampler / without", sampled)
    show("throughput of the one bare side / the other", equal)
    print(f"the sampler's thread used {cpu_s / wall_s:.3%} of one core")


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    main(int(arguments.get(1, 100)), arguments.get(2, "demo_m"), arguments.get(3, "cpu"))
