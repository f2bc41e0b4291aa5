"""Wall time of a job and its phases."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import ComparisonTable, Description, JobTable, SweepTable, ViewColumn

_PHASE = "tables/phases.json of the run has the time of every phase"

ROWS = {
    "time/generate_s": Metric(
        "s", "lower", "throughput phase, wall", (JobTable(8601), Description(8601), ComparisonTable(8601))
    ),
    "time/total_s": Metric(
        "s",
        "lower",
        "start of the meters to end of scoring, wall; imports and logging excluded",
        (JobTable(8602), SweepTable(8602, "total s", dropped=2), ComparisonTable(8602), ViewColumn(8602)),
    ),
    "time/idle_s": Metric("s", "neither", "idle machine measured before loading, when asked, wall", not_shown=_PHASE),
    "time/load_s": Metric("s", "lower", "tokenizer and weights, wall", not_shown=_PHASE),
    "time/warmup_s": Metric("s", "lower", "one short generation before measuring, wall", not_shown=_PHASE),
    "time/probe_s": Metric("s", "lower", "latency probe, wall", not_shown=_PHASE),
    "time/score_s": Metric("s", "lower", "scoring all responses, wall", not_shown=_PHASE),
}
