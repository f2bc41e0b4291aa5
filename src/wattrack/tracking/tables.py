"""Tables that the MLflow UI can show and compare: a run's answers and latencies, a sweep's runs."""

from collections.abc import Sequence

import pandas as pd

from wattrack.metrics.rows import shown_in
from wattrack.metrics.shown import ComparisonTable
from wattrack.results.columns import metric, param, tag
from wattrack.results.conditions import LATENCY, THROUGHPUT, reasons, refusals
from wattrack.results.latency import latency_rows
from wattrack.results.question_sets import by_questions
from wattrack.runs.codec import records_frame
from wattrack.schema import JobResult, Record

VIEWER_ROWS = 2000
"""The UI freezes for half a minute on a table of 10,000 rows."""
VIEWER_TEXT_BYTES = 2048

_LEADING = ("id", "question", "output", "target", "answer", "score")
"""The UI pairs runs by the first column and compares the column named `output`."""
_TRAILING = (
    "input_tokens",
    "output_tokens",
    "latency_s",
    "ttft_s",
    "finish_reason",
    "error",
    "repeat",
    "explanation",
)
_TEXTS = ("question", "output", "target", "answer", "error", "explanation")


def viewer_frame(records: Sequence[Record]) -> pd.DataFrame:
    """The first VIEWER_ROWS records with long texts cut: what the UI pages through and compares between runs.

    The first column identifies the question, with the repeat appended where there are several (`12 #1`).
    """
    repeated = any(record.repeat > 0 for record in records)
    full = records_frame(records[:VIEWER_ROWS])
    metrics = [name for name in full.columns if name.startswith("metric/")]
    # The log-probabilities themselves are in the explanation.
    some = ["margin"] if full["margin"].notna().any() else []
    some += ["thinking_tokens"] if full["thinking_tokens"].gt(0).any() else []
    frame = full[[*_LEADING, *metrics, *some, *_TRAILING]].rename(columns=lambda name: name.removeprefix("metric/"))
    if repeated:
        frame["id"] = [f"{i} #{r}" for i, r in zip(frame["id"], frame["repeat"], strict=True)]
    for name in _TEXTS:
        frame[name] = [None if pd.isna(text) else cut(str(text)) for text in frame[name]]
    # Objects with None: what MLflow's own writer expects, and null rather than NaN in the file.
    return frame.astype(object).where(frame.notna(), None)


def latency_frame(result: JobResult) -> pd.DataFrame:
    """One row per latency as `latency_rows` gives them; None where n allows no percentile or interval."""
    frame = pd.DataFrame(latency_rows(result.records, result.probe))
    return frame.astype(object).where(frame.notna(), None)


def cut(text: str, limit_bytes: int = VIEWER_TEXT_BYTES) -> str:
    """`text` within `limit_bytes` of UTF-8, a mark at the end saying how long it was."""
    data = text.encode("utf-8", "replace")
    if len(data) <= limit_bytes:
        return text
    mark = f"… [cut, {len(text):,} chars]"
    return data[: limit_bytes - len(mark.encode())].decode("utf-8", "ignore") + mark


_SETTINGS = {
    **{name: param(name) for name in ("model", "model/params_b", "dataset", "dataset/protocol", "preset", "hardware")},
    LATENCY: tag(LATENCY),
    THROUGHPUT: tag(THROUGHPUT),
    "status": "status",
}
"""What a sweep's table says of each run before its metrics: the column's name there -> its name in a table of runs."""


def comparison_frame(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run of a sweep: settings that are known, metrics that any run has, run id.

    The rows of each set of questions stand together, best score first; sets are not ranked against each other. A metric
    by which the runs of a set may not be compared is empty there, and the last column, `not_compared`, says why.
    """
    frame = pd.concat([_compared(asked.runs) for asked in by_questions(runs)], ignore_index=True)
    names = [name for name in (*_SETTINGS, *shown_in(ComparisonTable), "run_id", "not_compared") if name in frame]
    return frame[names].astype(object).where(frame[names].notna(), None)


def _compared(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that were asked the same questions, best score first."""
    refused = refusals([{str(key): value for key, value in run.items()} for run in runs.to_dict("records")])
    shown = {name: metric(name) for name in shown_in(ComparisonTable) if name not in refused}
    shown = {name: column for name, column in shown.items() if column in runs and runs[column].notna().any()}
    columns = {name: column for name, column in _SETTINGS.items() if column in runs} | shown
    frame = pd.DataFrame({name: runs[column] for name, column in columns.items()}).assign(run_id=runs["run_id"])
    if why := reasons({name: reason for name, reason in refused.items() if name in shown_in(ComparisonTable)}):
        frame = frame.assign(not_compared="; ".join(why))
    if "quality/score" in frame:
        frame = frame.sort_values("quality/score", ascending=False, na_position="last")
    return frame
