"""What measuring costs: the same generation bare, and inside the meter with journal and live line, alternating.

Both sides run the same engine on the same requests in the same process; the measured side has every monitor open, the
sampler at its default rate, codecarbon running, the journal written and the live line drawn, as in a job (MLflow is
never called while a window is open). The ratio of each pair cancels slow drifts of a shared machine; the median over
the pairs has a 95 % interval by order statistics. Target: at most 2 % slower.

    python benchmarks/overhead.py [PAIRS] [MODEL]
"""

import gc
import io
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wattrack import places
from wattrack.job import loop
from wattrack.journal import Journal
from wattrack.progress import JobProgress
from wattrack.protocols import Engine
from wattrack.schema import Request, Response
from wattrack.settings import build, config
from wattrack.tasks.task import Task

QUESTIONS = 256
"""Long enough for a second of generation; many short pairs cancel the machine's drifts better than few long ones."""


def bare_s(engine: Engine, requests: list[Request]) -> float:
    """Seconds of the generation alone."""
    started = time.perf_counter()
    for _ in engine.generate(requests):
        pass
    return time.perf_counter() - started


def measured_s(engine: Engine, requests: list[Request], cfg: DictConfig, task: Task) -> float:
    """Seconds of the generate window of a job."""
    samples = {s.id: s for s in task.samples(QUESTIONS, 0)[0]}

    def score(response: Response) -> float:
        return task.score(samples[response.sample_id], response).value

    carbon, meter = build.carbon(cfg), build.meter(cfg)
    carbon.open()
    with tempfile.TemporaryDirectory() as folder, meter:
        console = Console(file=io.StringIO(), force_terminal=True)
        with (
            Journal(Path(folder) / "r.jsonl") as journal,
            JobProgress(console, "x", len(requests), score) as progress,
        ):
            loop.collect(engine, requests, meter, journal, progress)
        window = meter.readings().window("generate")
    carbon.close()
    assert window is not None
    return window.duration_s


def median_interval(values: list[float]) -> tuple[float, float]:
    """The narrowest symmetric pair of order statistics that holds the median with 95 % or more; needs 6 values."""
    ordered, n = sorted(values), len(values)
    outside = [2 * sum(math.comb(n, j) for j in range(k + 1)) / 2**n for k in range(n // 2)]
    k = sum(chance <= 0.05 for chance in outside) - 1
    return ordered[max(k, 0)], ordered[n - 1 - max(k, 0)]


def prepare(model: str, *overrides: str) -> tuple[DictConfig, Task, Engine, list[Request]]:
    """The model loaded and warmed up, with the questions it will answer again and again."""
    config.register()
    OmegaConf.register_new_resolver("wattrack_root", lambda: str(places.root()), replace=True)
    with initialize_config_dir(str(places.conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=[f"model={model}", *overrides])
    task, engine = build.task(cfg), build.engine(cfg)
    samples, _ = task.samples(QUESTIONS, 0)
    requests = task.requests(samples, 0, 1)
    engine.load()
    bare_s(engine, requests)
    gc.freeze()  # as a job does: nothing walks over the imported modules while it measures
    return cfg, task, engine, requests


def compare(bare: Callable[[], float], measured: Callable[[], float], pairs: int) -> list[float]:
    """Ratio of the seconds of each pair, measured / bare; says on the way how it goes."""
    ratios: list[float] = []
    for pair in range(pairs):
        # Who goes first alternates, so that a steady drift does not favour one side.
        if pair % 2:
            b, m = bare(), measured()
        else:
            m, b = measured(), bare()
        ratios.append(m / b)
        if pair % 10 == 9:
            print(
                f"{pair + 1} pairs: median {statistics.median(ratios):.4f}, last bare {b:.3f} s, measured {m:.3f} s",
                flush=True,
            )
    return ratios


def show(title: str, ratios: list[float]) -> None:
    """Median with its interval, and the spread of all pairs."""
    low, high = median_interval(ratios)
    print(title)
    print(f"median {statistics.median(ratios):.4f}, its 95 % interval {low:.4f} to {high:.4f}")
    print(f"all pairs: {min(ratios):.4f} to {max(ratios):.4f}")


def main(pairs: int, model: str) -> None:
    """Measure and print one table."""
    cfg, task, engine, requests = prepare(model, "hardware=cpu")
    ratios = compare(lambda: bare_s(engine, requests), lambda: measured_s(engine, requests, cfg, task), pairs)
    show(f"{model}, {QUESTIONS} questions, {pairs} pairs: measured / bare", ratios)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, sys.argv[2] if len(sys.argv) > 2 else "demo_m")
