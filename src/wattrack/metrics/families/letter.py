"""Multiple choice answered in words."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

ROWS = {
    "quality/letter_strict": Metric(
        "1", "higher", "generated text ends with the line Answer: X, and X is right", (JobTable(501), ScorePlot())
    ),
    "quality/letter_flexible": Metric(
        "1",
        "higher",
        "the same, or the text's last clear statement of a choice is right",
        (JobTable(502), ScorePlot()),
    ),
    "quality/letter_macro": Metric("1", "higher", "mean over groups (subjects) of letter_flexible", (JobTable(503),)),
}
