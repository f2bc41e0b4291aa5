"""Answers that must be JSON."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

ROWS = {
    "quality/json_valid_strict": Metric(
        "1", "higher", "the whole reply is one JSON value (RFC 8259), reasoning aside", (JobTable(701), ScorePlot())
    ),
    "quality/json_valid": Metric(
        "1", "higher", "the reply, its first fenced block or its first brackets are JSON", (JobTable(702), ScorePlot())
    ),
    "quality/schema_valid": Metric(
        "1", "higher", "that JSON keeps to the question's JSON Schema, formats included", (JobTable(703), ScorePlot())
    ),
    "quality/field_accuracy": Metric(
        "1", "higher", "right leaf values / expected ones, where values are known", (JobTable(704), ScorePlot())
    ),
    **{
        f"quality/json_error_{kind}": Metric("1", "lower", f"share of answers without JSON: {meaning}", (ScorePlot(),))
        for kind, meaning in {
            "empty": "nothing but reasoning was written",
            "truncated": "cut at max_new_tokens",
            "no_json": "neither a bracket nor a fence",
            "syntax": "what there is does not parse",
        }.items()
    },
}
