"""Latencies of the probe, which sends one request at a time."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import (
    ComparisonTable,
    Description,
    JobTable,
    SweepPlot,
    SweepTable,
    ViewBar,
    ViewColumn,
    ViewParallel,
    ViewScatter,
)

PERCENTILES: tuple[tuple[str, float, int], ...] = (
    ("p50", 50, 1),
    ("p90", 90, 10),
    ("p95", 95, 20),
    ("p99", 99, 100),
)
"""(suffix, percentile, fewest values): with fewer values the percentile is withheld."""
INTERVAL_LATENCIES = ("ttft_s", "e2e_s")
"""Those with one independent value per request, so that their percentiles have an interval."""

_MEANINGS = {
    "ttft_s": "time to first token at batch 1, prompt tensor ready to first token on the host (latency probe)",
    "itl_s": "gap between successive tokens at batch 1, pooled over the probe's tokens, first token excluded",
    "e2e_s": "submission to last token, or to the choice, at batch 1 (latency probe)",
}
_IN_TABLE = "tables show the median; tables/latency.json of the run has every percentile and interval"
_MEDIANS = {
    "ttft_s": (
        JobTable(8201),
        Description(8201),
        SweepTable(8201, "TTFT p50 s", dropped=5),
        ComparisonTable(8201),
        SweepPlot(8201, "time to first token, p50"),
        ViewColumn(8201, "text"),
        ViewBar(8201, "text", title="time to first token, batch 1, p50 (s)"),
    ),
    "itl_s": (
        JobTable(8202),
        Description(8202),
        ComparisonTable(8202),
        ViewBar(8202, "text", title="time per token, batch 1, p50 (s)"),
    ),
    "e2e_s": (
        JobTable(8203),
        Description(8203),
        ComparisonTable(8203),
        SweepPlot(8203, "answer time at batch 1, p50", unless="latency/ttft_s_p50"),
        ViewColumn(8203),
        ViewScatter(8203),
        ViewParallel(8203),
        ViewBar(8203, "choices", title="answer, batch 1, p50 (s)"),
    ),
}


def _percentile(name: str, suffix: str, meaning: str) -> Metric:
    if suffix == "p50":
        return Metric("s", "lower", f"{suffix} of {meaning}", _MEDIANS[name])
    return Metric("s", "lower", f"{suffix} of {meaning}", not_shown=_IN_TABLE)


ROWS = {
    **{
        f"latency/{name}_{suffix}": _percentile(name, suffix, meaning)
        for name, meaning in _MEANINGS.items()
        for suffix, _, _ in PERCENTILES
    },
    **{
        f"latency/{name}_{suffix}_ci_{end}": Metric(
            "s",
            "neither",
            f"{words} end of the 95 % order-statistic interval of {suffix} of the {name} above",
            not_shown=_IN_TABLE,
        )
        for name in INTERVAL_LATENCIES
        for suffix, _, _ in PERCENTILES
        for end, words in (("low", "lower"), ("high", "upper"))
    },
    "latency/tpot_s_mean": Metric(
        "s",
        "lower",
        "mean over probe requests of (last - first token) / (tokens - 1); one-token answers have none",
        not_shown=_IN_TABLE,
    ),
    **{
        f"latency/{name}": Metric(
            "tokens/s", "higher", meaning, not_shown="the same times are shown in seconds, as latencies"
        )
        for name, meaning in {
            "decode_tokens_per_s": (
                "1 / tpot_s_mean: decode speed of the mean request at batch 1 (latency probe), not pooled"
            ),
            "request_tokens_per_s": "mean over probe requests of output tokens / e2e",
            "prefill_tokens_per_s": "mean over probe requests of prompt tokens / ttft",
        }.items()
    },
    "latency/probe_n": Metric(
        "questions", "neither", "questions of the latency probe that have a latency", not_shown=_IN_TABLE
    ),
    "latency/probe_failed_n": Metric(
        "questions", "lower", "questions of the latency probe that failed: no latency", not_shown=_IN_TABLE
    ),
}
