"""Mathematical answers: as strings in a normal form, and as values."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

ROWS = {
    "quality/math_verify": Metric(
        "1", "higher", "answer in any form equals the target as a value, by math-verify", (JobTable(201), ScorePlot())
    ),
    "quality/exact_minerva": Metric(
        "1", "higher", "prompted answer equals the target in Minerva's normal form", (JobTable(202), ScorePlot())
    ),
}
