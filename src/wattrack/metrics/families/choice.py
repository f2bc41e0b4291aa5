"""Multiple choice by log-probability, and how much of it rounding could change."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import Description, JobTable, ScorePlot

ROWS = {
    "quality/acc": Metric(
        "1", "higher", "choice with the largest summed log-probability is right", (JobTable(1301), ScorePlot())
    ),
    "quality/acc_norm": Metric(
        "1", "higher", "choice with the largest log-probability per character is right", (JobTable(1302), ScorePlot())
    ),
    "quality/acc_bytes": Metric(
        "1", "higher", "choice with the largest log-probability per UTF-8 byte is right", (ScorePlot(),)
    ),
    "quality/acc_macro": Metric(
        "1",
        "higher",
        "mean over groups (subjects) of acc; every group weighs the same",
        (JobTable(1303), Description(1303)),
    ),
    "quality/near_tie_rate": Metric(
        "1",
        "lower",
        "share of choice questions whose two best log-probabilities are within 0.05: rounding may decide",
        (JobTable(1304), Description(1304)),
    ),
    "quality/boundary_merge_rate": Metric(
        "1",
        "neither",
        "share of choice questions where a token spans the end of the context and the continuation",
        not_shown="it is a property of the tokenizer and the texts, for who compares with another harness",
    ),
}
