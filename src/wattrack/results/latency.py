"""Latencies: each quantity defined once, where its values come from, and its distribution. Pure.

Definitions (seconds on the host's monotonic clock; a request is submitted when its prompt tensor is ready):
ttft = first token - submission. itl = gap between successive tokens, so without ttft; pooled over all tokens of all
requests. tpot = (last token - first token) / (tokens - 1), one value per request with two tokens or more. e2e = last
token - submission. The percentile of pooled gaps (itl) is not the percentile of requests (tpot): each has its name.
A failed request has no latency; it is counted beside the others, never as 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from wattrack.intervals import deviation, mean, percentile_interval, percentiles, ratio
from wattrack.metrics.families.latency import INTERVAL_LATENCIES, PERCENTILES
from wattrack.schema import Record, Response

PROBED = ("ttft", "itl", "tpot", "e2e")
"""Quantities of the latency probe: one request at a time."""
BATCHED = ("ttft", "e2e")
"""Quantities of the throughput phase; nothing in its records tells the gaps between tokens."""

_TABLE_PERCENTILES = (("p25", 25.0, 4), ("p50", 50.0, 1), ("p75", 75.0, 4), *PERCENTILES[1:])

_POOLED = "withheld: gaps of one request depend on one another; see tpot, one value per request"
_SHARED_STEPS = "withheld: rows of a batch share their steps, so their times depend on one another"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """All values of one latency under one load."""

    name: str
    """ttft, itl, tpot or e2e."""
    window: Literal["probe", "generate"]
    """Where the values come from: the latency probe, or the batched throughput phase."""
    values_s: tuple[float, ...]
    batch_size_mean: float | None
    """Mean over the answers of the most rows that shared a step with one: 1 in the probe."""
    failed: int
    """Requests without a latency because they failed."""

    @property
    def independent(self) -> bool:
        """Whether each value is a request of its own, so that percentiles have an interval."""
        return self.window == "probe" and self.name != "itl"

    @property
    def interval(self) -> str:
        """How the percentiles' intervals are obtained, or why there are none."""
        if self.independent:
            return "95 %, order statistics"
        return _SHARED_STEPS if self.window == "generate" else _POOLED


def quantities(records: Sequence[Record], probe: Sequence[Response]) -> tuple[Quantity, ...]:
    """Every quantity that has a value: the probe's first, then those inside the batch."""
    answered = [r for r in probe if r.error is None and (r.timing.stamps_s or r.logprobs)]
    found = [
        Quantity(
            name=name,
            window="probe",
            values_s=tuple(value for response in answered for value in _values(response, name)),
            batch_size_mean=mean([float(r.batch_size) for r in answered]),
            failed=sum(r.error is not None for r in probe),
        )
        for name in PROBED
    ]
    batched = [r for r in records if r.error is None]
    failed = len(records) - len(batched)
    for name in BATCHED:
        timed = [(r, value) for r in batched if (value := r.ttft_s if name == "ttft" else r.latency_s) is not None]
        batch_size_mean = mean([float(r.batch_size) for r, _ in timed])
        values_s = tuple(value for _, value in timed)
        found.append(
            Quantity(name=name, window="generate", values_s=values_s, batch_size_mean=batch_size_mean, failed=failed)
        )
    return tuple(q for q in found if q.values_s)


def _values(response: Response, name: str) -> tuple[float, ...]:
    """The response's values of a quantity; choices are answered at once: they have an end and no tokens on the way.

    Gaps between tokens need a stamp for each: those between chunks of a stream are something else.
    """
    if name in ("ttft", "e2e"):
        value = response.ttft_s if name == "ttft" else response.end_s
        return () if value is None else (value,)
    times_s = response.token_stamps_s
    if name == "itl":
        return tuple(later - earlier for earlier, later in pairwise(times_s))
    return ((times_s[-1] - times_s[0]) / (len(times_s) - 1),) if len(times_s) > 1 else ()


def latency(probe: Sequence[Response]) -> dict[str, float | None]:
    """Metrics of the batch-1 probe: percentiles with their intervals, and speeds as means over its requests."""
    values = {q.name: q.values_s for q in quantities((), probe)}
    answered = [r for r in probe if r.error is None]
    tpot = mean(values.get("tpot", ()))
    found: dict[str, float | None] = {
        f"latency/{name}_s_{p}": value
        for name in ("ttft", "itl", "e2e")
        for p, value in percentiles(values.get(name, ())).items()
    }
    for name in INTERVAL_LATENCIES:
        for p, percent, _ in PERCENTILES:
            interval = percentile_interval(values.get(name.removesuffix("_s"), ()), percent)
            found[f"latency/{name}_{p}_ci_low"], found[f"latency/{name}_{p}_ci_high"] = interval or (None, None)
    return {
        **found,
        "latency/tpot_s_mean": tpot,
        "latency/decode_tokens_per_s": ratio(1.0, tpot),
        "latency/request_tokens_per_s": mean(
            [
                r.usage.output_tokens / r.end_s
                for r in answered
                if r.timing.stamps_s and r.usage.output_tokens and r.end_s
            ]
        ),
        "latency/prefill_tokens_per_s": mean(
            [
                r.usage.input_tokens / r.ttft_s
                for r in answered
                if r.token_stamps_s and r.usage.input_tokens and r.ttft_s
            ]
        ),
        "latency/probe_n": float(len(values.get("e2e", ()))) if probe else None,
        "latency/probe_failed_n": float(sum(r.error is not None for r in probe)) if probe else None,
    }


def latency_rows(records: Sequence[Record], probe: Sequence[Response]) -> list[dict[str, object]]:
    """One row per quantity: its name, window, batch_size_mean, unit, n, failed, mean, sd, min, p25 to p99, max.

    `p50_ci_low`, `p50_ci_high` and so on hold the 95 % interval; `interval` says how, or why there is none. A
    percentile or interval that n does not allow is None.
    """
    return [_row(quantity) for quantity in quantities(records, probe)]


def _row(quantity: Quantity) -> dict[str, object]:
    values_s = quantity.values_s
    row: dict[str, object] = {
        "quantity": quantity.name,
        "window": quantity.window,
        "batch_size_mean": quantity.batch_size_mean,
        "unit": "s/token" if quantity.name == "tpot" else "s",
        "n": len(values_s),
        "failed": quantity.failed,
        "mean": mean(values_s),
        "sd": deviation(values_s),
        "min": min(values_s),
        **percentiles(values_s, _TABLE_PERCENTILES),
        "max": max(values_s),
    }
    for p, percent, _ in PERCENTILES:
        interval = percentile_interval(values_s, percent) if quantity.independent else None
        row[f"{p}_ci_low"], row[f"{p}_ci_high"] = interval or (None, None)
    return {**row, "interval": quantity.interval}
