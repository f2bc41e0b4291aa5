"""Do a run's numbers agree with each other and with the machine? Pure; a failed check labels the run, nothing more.

Each check says what it compared. `not checked` means that something it needs is not known here, with the reason.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from wattrack.facts import EngineFacts
from wattrack.schema import Readings, Record, Response, Window

Status = Literal["ok", "failed", "not checked"]

_SLACK = 1.05
"""Room for rounding, sensor tolerance and clocks that differ by a tick."""
_POWER_SLACK = 1.10
"""A power cap holds on average over about a second and its sensor is good to 5 %."""
_POWER_MIN_S = 1.0
_SUM_OF_LATENCIES = (0.8, 1.2)
"""One request at a time: what is neither latency nor idle must be little ..."""
_PROBE_MIN_S = 0.5
"""... in a probe long enough that reading the prompts is little as well."""
_CODECARBON_PERCENT = 15.0
_CODECARBON_MIN_S = 10.0
_UNDERESTIMATE, _OVERESTIMATE, _PROCESS_GIB = 1.10, 2.0, 0.5
"""Peak memory against its prediction; libraries of the process move it by up to half a GiB either way."""
_CACHED_GIB = 0.25
"""Smaller weights may stay in a processor's cache, where the memory's bandwidth is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison."""

    name: str
    status: Status
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the checks look at."""

    metrics: Mapping[str, float | None]
    engine: EngineFacts
    hardware: Mapping[str, str]
    """What the meters found out, by tag name."""
    records: Sequence[Record]
    probe: Sequence[Response]
    readings: Readings
    references: tuple[int, int] | None = None
    """(reference answers that their own scorer refused, how many were tried)."""
    bandwidth_gb_s: float | None = None
    """Rated memory bandwidth of the device, 1e9 bytes/s, where its owner configured it."""
    peak_tflops: float | None = None

    def number(self, name: str) -> float | None:
        """A fact as a number."""
        value = self.engine.shown.get(name)
        return float(value) if isinstance(value, int | float) else None


Verdict = tuple[Status, str]


def examine(evidence: Evidence) -> tuple[Check, ...]:
    """Every check, in a fixed order."""
    return tuple(Check(name=name, status=v[0], text=v[1]) for name, check in CHECKS.items() for v in [check(evidence)])


def tags(checks: Sequence[Check]) -> dict[str, str]:
    """`plausibility` with how many checks were possible or which failed; `plausibility.<name>`: what was compared."""
    failed = [c.name for c in checks if c.status == "failed"]
    known = sum(c.status != "not checked" for c in checks)
    overall = f"failed: {', '.join(failed)}" if failed else f"ok ({known} of {len(checks)} checks possible)"
    return {"plausibility": overall, **{f"plausibility.{c.name}": f"{c.status}: {c.text}" for c in checks}}


def _weights_in_memory(e: Evidence) -> Verdict:
    weights = e.metrics.get("memory/weights_gib")
    kind = "vram" if e.engine.on == "cuda" else "rss"
    peak = e.metrics.get(f"memory/{kind}_peak_gib")
    if weights is None or peak is None:
        return "not checked", "the size of the weights or the peak memory is not known"
    return _compared(peak * _SLACK >= weights, f"peak {peak:.3g} GiB ({kind}), weights {weights:.3g} GiB")


def _decode_under_roofline(e: Evidence) -> Verdict:
    """A token at batch 1 reads every weight once: tokens/s <= bandwidth / bytes."""
    limit, why = _steps_per_s(e)
    speed = e.metrics.get("latency/decode_tokens_per_s")
    if limit is None or speed is None:
        return "not checked", why or "no decode speed at batch 1"
    return _compared(speed <= limit * _SLACK, f"{speed:.4g} tokens/s at batch 1, memory allows {limit:.4g}")


def _throughput_under_roofline(e: Evidence) -> Verdict:
    """A step gives at most one token a row; equal greedy requests are computed once."""
    limit, why = _steps_per_s(e)
    speed = e.metrics.get("throughput/output_tokens_per_s")
    asked = [r for r in e.records if r.error is None]
    if limit is None or speed is None or not asked:
        return "not checked", why or "no output tokens"
    rows = max(r.batch_size for r in asked) * len(asked) / len({(r.repeat, r.prompt_text) for r in asked})
    return _compared(speed <= rows * limit * _SLACK, f"{speed:.4g} tokens/s, memory allows {rows * limit:.4g}")


def _steps_per_s(e: Evidence) -> tuple[float | None, str]:
    """(decoding steps per second that the memory's bandwidth allows, why not known)."""
    read_gib = e.number("model/decode_read_gib")
    rated = e.bandwidth_gb_s
    if rated is None and e.engine.on == "cuda" and "," not in e.hardware.get("gpu.indices", ","):
        rated = _float(e.hardware.get("gpu.memory_bandwidth_gb_s"))
    if rated is None:
        return None, "the memory bandwidth is not known (hardware.memory_bandwidth_gb_s)"
    if read_gib is None or read_gib < _CACHED_GIB:
        return None, f"the weights read for a token are unknown or below {_CACHED_GIB} GiB, which a cache may hold"
    return rated * 1e9 / (read_gib * 2**30), ""


def _compute_under_roofline(e: Evidence) -> Verdict:
    """2 operations a weight of the layers and token (Kaplan et al. 2020, arXiv:2001.08361, without attention)."""
    params, computed = e.number("model/layer_params"), e.metrics.get("tokens/computed")
    generate = e.readings.window("generate")
    if e.peak_tflops is None:
        return "not checked", "the speed of the device is not known (hardware.peak_tflops)"
    if params is None or computed is None or generate is None:
        return "not checked", "the weights or the computed tokens are not known"
    tflops = 2 * params * computed / generate.duration_s / 1e12
    return _compared(tflops <= e.peak_tflops * _SLACK, f"{tflops:.3g} Tflop/s of rated {e.peak_tflops:.3g}")


def _latencies_fill_probe(e: Evidence) -> Verdict:
    window = e.readings.window("probe")
    spent = [_latency(r) for r in e.probe if r.error is None]
    if window is None or not spent or any(r.error is not None for r in e.probe):
        return "not checked", "no latency probe without failures"
    if window.duration_s < _PROBE_MIN_S:
        return "not checked", f"the probe lasted only {window.duration_s:.3g} s"
    share = math.fsum(spent) / window.duration_s
    least, most = _SUM_OF_LATENCIES
    return _compared(least <= share <= most, f"latencies are {share:.1%} of the probe's {window.duration_s:.3g} s")


def _latency(response: Response) -> float:
    return response.end_s or 0.0


def _latencies_fit_batches(e: Evidence) -> Verdict:
    window = e.readings.window("generate")
    known = [r for r in e.records if r.latency_s is not None]
    if window is None or not known:
        return "not checked", "no latencies in the generate window"
    rows = max(r.batch_size for r in known) * len(known) / len({r.prompt_text for r in known})
    share = math.fsum(r.latency_s or 0.0 for r in known) / (rows * window.duration_s)
    return _compared(share <= _SLACK, f"latencies are {share:.1%} of {rows:.4g} rows x {window.duration_s:.3g} s")


def _power_within_limit(e: Evidence) -> Verdict:
    shares = dict(_shares_of_limit(e))
    if not shares:
        return "not checked", f"no energy with a known power limit in a window of {_POWER_MIN_S:g} s or more"
    worst = max(shares, key=lambda text: shares[text])
    return _compared(shares[worst] <= _POWER_SLACK, f"{worst}: {shares[worst]:.0%} of the limit")


def _shares_of_limit(e: Evidence) -> Iterator[tuple[str, float]]:
    """(what drew how much in which window, share of what it may draw)."""
    limits = {"gpu": _gpu_limit_w(e.hardware), "cpu": _float(e.hardware.get("rapl.power_limit_w"))}
    for window in e.readings.windows:
        for name, part in window.energy.items():
            limit = limits.get(name)
            if part.joules is not None and limit and window.duration_s >= _POWER_MIN_S:
                watts = part.joules / window.duration_s
                yield f"{name} {watts:.4g} W in {window.name}", watts / limit


def _gpu_limit_w(hardware: Mapping[str, str]) -> float | None:
    """All GPUs at the highest of their limits."""
    limits = [_float(text) for text in hardware.get("gpu.power_limit_w", "").split(",")]
    known = [limit for limit in limits if limit is not None]
    return max(known) * float(hardware.get("gpu.count", "1")) if known else None


def _codecarbon_agrees(e: Evidence) -> Verdict:
    percent, job = e.metrics.get("energy/codecarbon_difference_percent"), e.readings.job
    if percent is None or job is None or job.duration_s < _CODECARBON_MIN_S:
        return "not checked", f"no part that both measured, or a job under {_CODECARBON_MIN_S:g} s"
    return _compared(abs(percent) <= _CODECARBON_PERCENT, f"codecarbon's mean power is {percent:+.1f} % of ours")


def _memory_as_predicted(e: Evidence) -> Verdict:
    for kind in ("vram", "rss"):
        predicted, peak = (e.metrics.get(f"memory/{kind}_{what}_gib") for what in ("predicted", "peak"))
        if predicted is not None and peak is not None:
            low, high = peak / _UNDERESTIMATE - _PROCESS_GIB, peak * _OVERESTIMATE + _PROCESS_GIB
            return _compared(low <= predicted <= high, f"predicted {predicted:.3g} GiB ({kind}), peak {peak:.3g} GiB")
    return "not checked", "nothing was predicted or measured"


def _phases_fit_job(e: Evidence) -> Verdict:
    job, windows = e.readings.job, e.readings.windows
    if job is None or not windows:
        return "not checked", "the job as a whole was not measured"
    spent_s = math.fsum(w.duration_s for w in windows)
    problems = [f"phases last {spent_s:.4g} s, the job {job.duration_s:.4g} s"] * (spent_s > job.duration_s * _SLACK)
    problems += _too_much_energy(job, windows)
    return _compared(
        not problems, "; ".join(problems) or f"phases are {spent_s / job.duration_s:.0%} of the job's time"
    )


def _too_much_energy(job: Window, windows: Sequence[Window]) -> Iterator[str]:
    for name, part in job.energy.items():
        spent_j = math.fsum(w.energy[name].joules or 0.0 for w in windows if name in w.energy)
        if part.joules is not None and spent_j > part.joules * _SLACK:
            yield f"{name}: phases used {spent_j:.4g} J, the job {part.joules:.4g} J"


def _references_score(e: Evidence) -> Verdict:
    if e.references is None or not e.references[1]:
        return "not checked", "no reference answer that could be given to the scorer"
    refused, tried = e.references
    return _compared(refused == 0, f"{tried - refused} of {tried} reference answers are right by their own scorer")


def _compared(holds: bool, text: str) -> Verdict:
    return ("ok" if holds else "failed"), text


def _float(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


CHECKS: Mapping[str, Callable[[Evidence], Verdict]] = {
    "weights_in_memory": _weights_in_memory,
    "decode_under_roofline": _decode_under_roofline,
    "throughput_under_roofline": _throughput_under_roofline,
    "compute_under_roofline": _compute_under_roofline,
    "latencies_fill_probe": _latencies_fill_probe,
    "latencies_fit_batches": _latencies_fit_batches,
    "power_within_limit": _power_within_limit,
    "codecarbon_agrees": _codecarbon_agrees,
    "memory_as_predicted": _memory_as_predicted,
    "phases_fit_job": _phases_fit_job,
    "references_score": _references_score,
}
"""Name -> check. MLflow shows each as a tag."""
