"""Speed of all questions together, in batches."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import ComparisonTable, Description, JobTable, SweepPlot, SweepTable, ViewBar, ViewColumn

_RATIO = "it is a ratio of two figures that are shown"

ROWS = {
    "throughput/output_tokens_per_s": Metric(
        "tokens/s",
        "higher",
        "all output tokens / generate window wall time",
        (
            JobTable(8101),
            Description(8101),
            SweepTable(8101, "tok/s"),
            ComparisonTable(8101),
            SweepPlot(8101, "output throughput, batched"),
            ViewColumn(8101, "text"),
            ViewBar(8101, "text", title="output tokens/s, batched"),
        ),
    ),
    "throughput/questions_per_s": Metric(
        "questions/s",
        "higher",
        "questions / generate window wall time",
        (
            JobTable(8102),
            Description(8102),
            SweepTable(8102, "questions/s", dropped=1),
            ComparisonTable(8102),
            SweepPlot(8102, "questions, batched", unless="throughput/output_tokens_per_s"),
            ViewColumn(8102, "choices"),
            ViewBar(8102, "choices", title="questions/s, batched"),
        ),
    ),
    "throughput/rows_mean": Metric(
        "rows",
        "neither",
        "rows in flight on average: sum of the answers' times / generate window wall (Little's law)",
        (SweepTable(8103, "rows", dropped=6), ComparisonTable(8103), SweepPlot(8103, "rows in flight, mean")),
    ),
    "throughput/prompt_tokens_per_s": Metric(
        "tokens/s",
        "higher",
        "all prompt tokens / generate window wall time",
        not_shown="prompts and answers share the window, so it is no speed of reading",
    ),
    "throughput/output_tokens_per_s_per_gib": Metric(
        "tokens/s/GiB",
        "higher",
        "output tokens/s / peak VRAM, on CPU / peak RSS, of the generate window",
        not_shown=_RATIO,
    ),
    "throughput/batch_efficiency": Metric(
        "1",
        "higher",
        "throughput / (batch rows x batch-1 decode speed): 1 = perfect scaling with the batch",
        not_shown=_RATIO,
    ),
}
