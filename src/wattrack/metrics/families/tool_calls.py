"""Function calls judged by rules of our own."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

ROWS = {
    "quality/parse_ok": Metric(
        "1",
        "higher",
        "where calls are expected: at least one was made and all can be read",
        (JobTable(901), ScorePlot()),
    ),
    "quality/tool_selection": Metric(
        "1", "higher", "the called tools are the expected ones, each as often", (JobTable(902), ScorePlot())
    ),
    "quality/args_valid": Metric(
        "1",
        "higher",
        "every call keeps to its tool's schema; unknown arguments do not",
        (JobTable(903), ScorePlot()),
    ),
    "quality/arg_accuracy": Metric(
        "1", "higher", "right arguments / expected and wrong extra ones", (JobTable(904), ScorePlot())
    ),
    "quality/call_f1": Metric(
        "1", "higher", "F1 of calls right in name and arguments, by a maximum matching", (JobTable(905), ScorePlot())
    ),
    "quality/exact_success": Metric(
        "1", "higher", "the calls are the expected ones, one to one, nothing extra", (JobTable(906), ScorePlot())
    ),
    "quality/irrelevance_accuracy": Metric(
        "1", "higher", "where no call is expected: plain text and no call", (JobTable(907), ScorePlot())
    ),
    "quality/call_unreadable": Metric(
        "1", "lower", "share of replies that begin a call which cannot be read", (JobTable(908), ScorePlot())
    ),
    "quality/tool_calls_mean": Metric(
        "calls",
        "neither",
        "calls made per question",
        not_shown="neither more nor fewer is better; the shares of right calls are shown",
    ),
}
