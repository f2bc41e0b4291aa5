"""Jobs as they would come out of a measured run, made up but of realistic shape; the same questions for every model."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from support import flat_response
from wattrack.intervals import wilson
from wattrack.metrics.rows import METRICS
from wattrack.results.columns import metric, param, tag
from wattrack.schema import (
    CarbonReading,
    DatasetFacts,
    Energy,
    JobResult,
    JobStart,
    Readings,
    Record,
    Response,
    SystemSample,
    Window,
)

LADDER = {"demo_xs": (0.0001, 0.3), "demo_s": (0.0003, 0.55), "demo_m": (0.0009, 0.75), "demo_l": (0.0025, 0.92)}
"""Model -> (parameters in billions, share of right answers)."""
BEGAN_UNIX_MS = 1_790_000_000_000


def job_start(model: str = "demo_s", sweep_id: str | None = "sweep-1", **params: object) -> JobStart:
    tags = {"git.commit": "0123456789abcdef"}
    if sweep_id is not None:
        tags["wattrack.sweep_id"] = sweep_id
    groups = {"model": model, "dataset": "arithmetic", "preset": "balanced", "hardware": "auto"}
    size = LADDER.get(model, (1.5, 0.5))[0]
    return JobStart(
        name=f"{model} · arithmetic",
        kind="job",
        params={**groups, "model/params_b": size, "seed": 0, "limit": None, **params},
        tags=tags,
        config_yaml=f"model: {model}\n",
        output_dir="/nowhere/multirun/0",
    )


def sweep_start(sweep_id: str = "sweep-1") -> JobStart:
    return JobStart(
        name=f"sweep {sweep_id}",
        kind="sweep",
        params={"jobs": 4},
        tags={"wattrack.sweep_id": sweep_id},
        config_yaml="model: demo_xs\n",
        output_dir="/nowhere/multirun",
    )


def record(number: int = 0, right: bool = True, model: str = "demo_s", **changes: object) -> Record:
    a, b, c = 3 + number % 17, 2 + number % 5, number % 7
    target = str(a * b - c)
    answer = target if right else str(a + b + c)
    plain = Record(
        id=str(number),
        repeat=0,
        question=f"Ana packs {b} boxes with {a} apples each and eats {c}. How many apples are left? ({number})",
        output=f"{b} boxes hold {a} * {b} = <<{a}*{b}={a * b}>>{a * b} apples.\n#### {answer}",
        target=target,
        answer=answer,
        score=float(right),
        metrics={"exact_match_strict": float(right), "exact_match_flexible": float(right)},
        explanation="" if right else f"expected {target}, the answer marker says {answer}",
        group=None,
        finish_reason="stop",
        error=None,
        input_tokens=41 + number % 9,
        output_tokens=22 + number % 11,
        latency_s=0.21 + 0.002 * (number % 13),
        ttft_s=0.02,
        batch_size=16,
        prompt_text=f"<|user|>Ana packs {b} boxes ...<|assistant|>",
        started_unix_ms=BEGAN_UNIX_MS + 250 * (number // 16),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def _probe(number: int) -> Response:
    draw = random.Random(f"probe-{number}")
    times, now = [], 0.012 + 0.004 * draw.random()
    for _ in range(24):
        times.append(now)
        now += 0.004 + 0.001 * draw.random()
    return flat_response(
        sample_id=str(number),
        repeat=0,
        text="#### 1",
        finish_reason="stop",
        input_tokens=44,
        output_tokens=24,
        token_times_s=tuple(times),
        latency_s=times[-1],
    )


def readings(seconds: float = 24.0, gpu: bool = False) -> Readings:
    """Four phases and a 5 Hz sampler; `gpu` adds a power sensor."""
    edges = {"load": (0, 2), "warmup": (2, 3), "generate": (3, seconds - 3), "probe": (seconds - 3, seconds)}
    energy = {"gpu": Energy(joules=900.0, source="measured")} if gpu else {}
    energy["cpu"] = Energy(joules=None, source="unavailable", detail="no RAPL here")
    windows = [
        Window(
            name=name,
            start_s=100.0 + start,
            end_s=100.0 + end,
            start_unix_ms=BEGAN_UNIX_MS + int(1000 * start),
            energy=energy,
            peaks={"memory/rss_peak_gib": 1.2},
        )
        for name, (start, end) in edges.items()
    ]
    samples = []
    for i in range(int(5 * seconds)):
        busy = 15 <= i <= 5 * (seconds - 3)
        values = {
            "system/cpu_utilization_percentage": 90.0 - i % 5 if busy else 30.0 + i % 7,
            "system/process_rss_megabytes": 800.0 + min(i, 40) * 10,
            "system/system_memory_usage_megabytes": 9000.0,
        }
        if gpu:
            values["system/gpu_0_power_usage_watts"] = 240.0 + i % 9 if busy else 70.0
            values["system/gpu_0_utilization_percentage"] = 97.0 if busy else 0.0
            values["system/gpu_0_memory_usage_megabytes"] = 5200.0 if busy else 900.0
        samples.append(SystemSample(time_s=100.0 + i / 5, unix_ms=BEGAN_UNIX_MS + 200 * i, values=values))
    carbon = CarbonReading(
        energy_wh=0.4,
        cpu_wh=0.3,
        ram_wh=0.1,
        gpu_wh=None,
        duration_s=seconds,
        cpu_source="modelled",
        gpu_source="unavailable",
        detail="CPU load model, TDP 65 W; RAM model 10 W",
    )
    return Readings(windows=tuple(windows), samples=tuple(samples), carbon=carbon, unavailable={"nvml": "no driver"})


def job_result(model: str = "demo_s", questions: int = 60, gpu: bool = False, **metrics: float | None) -> JobResult:
    size, share = LADDER.get(model, (1.5, 0.5))
    draw = random.Random(model)
    records = tuple(record(i, draw.random() < share, model) for i in range(questions))
    facts = DatasetFacts(
        name="arithmetic",
        protocol="arithmetic/chat@2",
        source="embedded:arithmetic",
        config=None,
        split="test",
        revision=None,
        digest="ab" * 32,
        rows=questions,
    )
    score = sum(r.score for r in records) / questions
    low, high = wilson(score, questions)
    measured = {"energy/measured_wh": 0.11 + 40 * size, "energy/j_per_correct": 3.0} if gpu else {}
    known: Mapping[str, float | None] = {
        "quality/score": score,
        "quality/score_ci_low": low,
        "quality/score_ci_high": high,
        "quality/exact_match_strict": score,
        "quality/exact_match_flexible": min(1.0, score + 0.03),
        "quality/n": float(questions),
        "latency/ttft_s_p50": 0.012 + 9 * size,
        "latency/itl_s_p50": 0.004 + 2 * size,
        "latency/e2e_s_p50": 0.1 + 40 * size,
        "throughput/output_tokens_per_s": 2100 / (1 + 900 * size),
        "memory/rss_peak_gib": 0.8123456789 + 20 * size,
        "memory/rss_added_gib": 0.1 + 20 * size,
        "memory/vram_peak_gib": 2 + 30 * size if gpu else None,
        "energy/codecarbon_wh": 0.2 + 120 * size,
        "time/total_s": 24 + 2000 * size,
        **measured,
        **metrics,
    }
    assert known.keys() <= METRICS.keys()
    right = 0.0
    running = []
    for n, r in enumerate(records, start=1):
        right += r.score
        if n % 16 == 0 or n == questions:
            running.append(("running/score", n, BEGAN_UNIX_MS + 3000 + 15 * n, right / n))
    return JobResult(
        metrics=known,
        params={"effective/dtype": "float32", "model/revision": None},
        tags={
            "wattrack.run_key": "cd" * 32,
            "energy.sources": "codecarbon modelled",
            "latency.conditions": "mode=shared, prefix_sharing=on, batch=1, concurrency=1",
            "throughput.conditions": "mode=shared, prefix_sharing=on, rows_asked=auto, rows_limit=16",
        },
        records=records,
        probe=tuple(_probe(i) for i in range(20)),
        readings=readings(gpu=gpu),
        dataset=facts,
        description=f"### {model} · arithmetic: {score:.1%}\n\nNot measured: GPU (no driver).",
        running=tuple(running),
    )


def runs_frame(gpu: bool = False) -> pd.DataFrame:
    """What `Tracker.load_runs` gives for a finished sweep of the ladder."""
    rows = []
    for model, (size, _) in LADDER.items():
        result = job_result(model, gpu=gpu)
        metrics = {k: v for k, v in result.metrics.items() if v is not None}
        facts = {"run_id": model.encode().hex(), "name": model, "experiment_id": "1", "status": "FINISHED"}
        settings = {"model": model, "model/params_b": str(size), "dataset": "arithmetic", "preset": "balanced"}
        params = {param(name): value for name, value in settings.items()}
        tags = {tag(name): value for name, value in result.tags.items()}
        rows.append({**facts, **params, **tags, **{metric(name): value for name, value in metrics.items()}})
    return pd.DataFrame(rows)
