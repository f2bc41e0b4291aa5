"""The conditions of a run's latency, throughput and similarity, and which runs may be compared by them. Pure."""

import math
from collections.abc import Mapping, Sequence

from wattrack.facts import EngineFacts
from wattrack.intervals import mean
from wattrack.results import columns
from wattrack.results.columns import metrics_of
from wattrack.results.stated import as_tag, names_of, values_of
from wattrack.schema import Record, Response

LATENCY, THROUGHPUT, SIMILARITY = "latency.conditions", "throughput.conditions", "similarity.conditions"
"""Tags of a run."""

CONTENDED = "wattrack.contended"
"""Tag of a run beside which other jobs ran: the windows that shared the machine, and "job" for the whole."""

RunRow = Mapping[str, object]
"""A row of `Tracker.load_runs`: what is said of one run, by column."""

_MUST_AGREE = {
    LATENCY: ("mode", "batch", "concurrency", "prefix_sharing", "constraint"),
    THROUGHPUT: ("mode", "prefix_sharing", "constraint"),
    SIMILARITY: ("model_id", "revision"),
}
"""Throughput at another batch is what a comparison of batches shows, so it stays, with the mean rows beside it."""

_WORDS = {
    "mode": "engine mode",
    "batch": "batch",
    "concurrency": "concurrency",
    "prefix_sharing": "prefix sharing",
    "constraint": "constrained decoding",
    "model_id": "the embedder",
    "revision": "the embedder's revision",
}
_UNSAID = {"constraint": "none"}
"""What a run means that does not name a condition; for the others it is unknown."""
_WHAT = {LATENCY: "latency", THROUGHPUT: "throughput and energy per token", SIMILARITY: "similarity"}
ROWS = "throughput/rows_mean"
_BESIDE = "jobs that ran beside"
_NAMES_SHOWN = 4


def conditions(
    engine: EngineFacts, rows_asked: int | None, records: Sequence[Record], probe: Sequence[Response]
) -> dict[str, str]:
    """The two tags of a job, values by name; a phase that timed nothing has no tag.

    mode: the engine's mode in effect. batch: most rows that shared a step of a probed request; concurrency: requests
    under way at a time in the probe. rows_asked: the batch rows asked for (auto = what fits), rows_limit: the rows in
    effect, batch_size_mean: mean over the answers of the most rows that shared a step. prefix_sharing: whether common
    beginnings were computed once. constraint: what answers were held to while decoding, where they were: computing the
    masks is part of their time and energy.

    Args:
        engine: what it found out.
        rows_asked: None = automatic.
        records: of the throughput phase.
        probe: of the latency probe, which sends one request at a time.
    """
    always = {"mode": engine.mode, "prefix_sharing": "on" if engine.mode == "shared" else "off"}
    if engine.constraint is not None:
        always["constraint"] = "json_schema"
    tags = {}
    if probed := [r.batch_size for r in probe if r.error is None]:
        tags[LATENCY] = as_tag({**always, "batch": max(probed), "concurrency": 1})
    batch_size_mean = mean([float(r.batch_size) for r in records if r.error is None])
    if batch_size_mean is not None:
        rows = {"rows_asked": rows_asked or "auto", "rows_limit": engine.rows or "unknown"}
        tags[THROUGHPUT] = as_tag({**always, **rows, "batch_size_mean": float(f"{batch_size_mean:.4g}")})
    return tags


def refusals(runs: Sequence[RunRow]) -> dict[str, str]:
    """Metrics that these runs must not be compared by: name -> one line saying which runs differ and how.

    Only finished runs count that have the metric. Latency needs equal engine mode, prefix sharing, constraint, batch
    and concurrency; throughput and energy per token equal engine mode, prefix sharing and constraint; similarity the
    same embedder. A run that does not state its conditions agrees with none. Speed, energy, CO2e and cost of a window
    beside which another job ran agree with nothing.
    """
    found: dict[str, str] = {}
    finished = [run for run in runs if run.get("status") == "FINISHED"]
    measured = [metrics_of(run) for run in finished]
    for metric in dict.fromkeys(name for metrics in measured for name in metrics):
        having = [
            run
            for run, metrics in zip(finished, measured, strict=True)
            if not math.isnan(metrics.get(metric, math.nan))
        ]
        if (tag := _tag(metric)) is not None and (reason := _difference(having, tag)):
            found[metric] = f"Not compared: {_WHAT[tag]}, because {reason}"
        elif beside := [run for run in having if contended(run, metric)]:
            found[metric] = f"Not compared: speed and energy, because of {_BESIDE} {_names(beside)} (contended)"
    return found


def contended(run: RunRow, metric: str) -> bool:
    """Whether this figure of the run was taken while another job used the same machine."""
    window = _window(metric)
    return window is not None and window in names_of(run.get(columns.tag(CONTENDED)))


def by_contention(reason: str | None) -> bool:
    """Whether a metric is refused only because jobs ran beside each other."""
    return reason is not None and _BESIDE in reason


def _window(metric: str) -> str | None:
    """The window that a metric of speed, energy, CO2e or cost was taken in; None for the others."""
    if metric.startswith(("carbon/", "cost/", "energy/job_", "energy/codecarbon_", "energy/modelled_")):
        return "job"
    if metric.startswith("latency/"):
        return "probe"
    return "generate" if metric.startswith(("throughput/", "energy/")) and metric != ROWS else None


def reasons(refused: Mapping[str, str]) -> list[str]:
    """Each reason once, in the order of the metrics."""
    return list(dict.fromkeys(refused.values()))


def _tag(metric: str) -> str | None:
    """The tag that a metric's comparison rests on; the mean rows are themselves a condition, shown to be compared."""
    if metric == ROWS:
        return None
    if metric.startswith("latency/"):
        return LATENCY
    if metric == "quality/similarity_mean":
        return SIMILARITY
    return THROUGHPUT if metric.startswith("throughput/") or metric == "energy/j_per_output_token" else None


def _difference(runs: Sequence[RunRow], tag: str) -> str | None:
    """How the conditions of runs differ; None where they agree or there is nothing to compare."""
    if len(runs) < 2:
        return None
    stated = [values_of(run.get(columns.tag(tag))) for run in runs]
    if silent := [run for run, known in zip(runs, stated, strict=True) if not known]:
        return f"{_names(silent)} did not record the tag {tag}"
    for name in _MUST_AGREE[tag]:
        by_value: dict[str, list[RunRow]] = {}
        for run, known in zip(runs, stated, strict=True):
            by_value.setdefault(str(known.get(name, _UNSAID.get(name, "unknown"))), []).append(run)
        if len(by_value) > 1:
            sides = " against ".join(f"{value} ({_names(some)})" for value, some in by_value.items())
            return f"{_WORDS[name]} differs: {sides}"
    return None


def _names(runs: Sequence[RunRow]) -> str:
    names = [str(run.get("name") or run.get(columns.param("model")) or run.get("run_id")) for run in runs]
    more = [f"{len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []
    return ", ".join(names[:_NAMES_SHOWN] + more)
