"""Free answers that a list of checks judges."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

ROWS = {
    "quality/checks_all": Metric(
        "1", "higher", "answers that pass every check of their prompt", (JobTable(601), ScorePlot())
    ),
    "quality/checks_share": Metric(
        "1", "higher", "passed checks / checks, mean over the prompts that have any", (JobTable(602), ScorePlot())
    ),
    **{
        f"quality/checks_{group}": Metric("1", "higher", f"checks_all in the category {group}", (ScorePlot(),))
        for group in ("reasoning", "creativity", "knowledge", "instruction")
    },
}
