"""MMLU: accuracy by category of subjects."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import ScorePlot

ROWS = {
    "quality/acc_stem": Metric(
        "1", "higher", "acc over MMLU's STEM subjects, every question weighs the same", (ScorePlot(),)
    ),
    "quality/acc_humanities": Metric(
        "1", "higher", "acc over MMLU's humanities, every question weighs the same", (ScorePlot(),)
    ),
    "quality/acc_social_sciences": Metric(
        "1", "higher", "acc over MMLU's social sciences, by question", (ScorePlot(),)
    ),
    "quality/acc_other": Metric(
        "1", "higher", "acc over MMLU's other subjects (business, health, misc.), by question", (ScorePlot(),)
    ),
}
