"""BFCL: function calls judged by the rules of the leaderboard."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

_CATEGORIES = (
    *("simple_python", "simple_java", "simple_javascript"),
    *("multiple", "parallel", "parallel_multiple", "irrelevance"),
    *(f"live_{kind}" for kind in ("simple", "multiple", "parallel", "parallel_multiple", "irrelevance")),
    "live_relevance",
)

ROWS = {
    "quality/bfcl_accuracy": Metric(
        "1",
        "higher",
        "calls accepted by BFCL's checker; every question weighs the same",
        (JobTable(801), ScorePlot()),
    ),
    **{
        f"quality/bfcl_{category}": Metric("1", "higher", f"bfcl_accuracy in the category {category}", (ScorePlot(),))
        for category in _CATEGORIES
    },
    "quality/bfcl_simple": Metric(
        "1",
        "higher",
        "mean of BFCL's simple categories: Python, Java and JavaScript",
        not_shown="it is a step on the way to bfcl_non_live, which is shown",
    ),
    "quality/bfcl_non_live": Metric(
        "1", "higher", "mean of bfcl_simple and BFCL's three other non-live call categories", (JobTable(802),)
    ),
    "quality/bfcl_non_live_python": Metric(
        "1", "higher", "the same with simple_python in the place of bfcl_simple", (JobTable(803),)
    ),
    "quality/bfcl_live": Metric(
        "1", "higher", "mean over the questions of BFCL's four live call categories", (JobTable(804),)
    ),
    "quality/bfcl_irrelevance_both": Metric(
        "1", "higher", "mean of BFCL's two irrelevance categories", (JobTable(805),)
    ),
    "quality/bfcl_single_turn": Metric(
        "1",
        "higher",
        "mean of bfcl_non_live, bfcl_live and bfcl_irrelevance_both; not the leaderboard's overall",
        (JobTable(806),),
    ),
}
