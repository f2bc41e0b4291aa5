"""Start-up wall times of the command: `--help`, a refused configuration, and a one-question job on an embedded model.

Targets on a quiet 2-core machine: under 1 s, under 2 s and under 8 s (with an existing store). Every command runs
REPEATS times in turn, after one unmeasured round that fills the disk cache.

    python benchmarks/startup.py [REPEATS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]

COMMANDS = {
    "--help": (["--help"], 0, 1.0),
    "refused: limt=3": (["limt=3"], 2, 2.0),
    "one question": (["model=demo_xs", "limit=1", "probe_questions=1"], 0, 8.0),
}


def wall_s(arguments: list[str], expected: int, root: str) -> float:
    """Seconds from start to end of one command."""
    environment = {**os.environ, "WATTRACK_ROOT": root}
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "src.run", *arguments],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        check=False,
    )
    if done.returncode != expected:
        sys.exit(f"{arguments}: exit status {done.returncode}, expected {expected}\n{done.stderr.decode()}")
    return time.perf_counter() - started


def main(repeats: int) -> None:
    """Measure and print one table."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as root:
        for lap in range(repeats + 1):
            for name, (arguments, expected, _) in COMMANDS.items():
                seconds = wall_s(arguments, expected, root)
                if lap:
                    times[name].append(seconds)
    print(f"{'command':20} {'median s':>9} {'min s':>7} {'max s':>7} {'target s':>9}   ({repeats} runs each)")
    for name, found in times.items():
        target = COMMANDS[name][2]
        print(f"{name:20} {statistics.median(found):9.2f} {min(found):7.2f} {max(found):7.2f} {target:9.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
