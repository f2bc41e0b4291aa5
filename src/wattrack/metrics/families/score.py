"""The score, and of how many answers it is a share."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import ComparisonTable, JobTable, SweepPlot, ViewBar, ViewColumn, ViewLine, ViewParallel

ROWS = {
    "quality/score": Metric(
        "1",
        "higher",
        "headline metric of the dataset; a failed question counts as wrong",
        (
            JobTable(1),
            ComparisonTable(1),
            SweepPlot(1, "score", ("size_score", "score_energy", "comparison")),
            ViewColumn(1),
            ViewParallel(9000),
            ViewBar(1, title="score", section="Quality"),
        ),
    ),
    "quality/score_ci_low": Metric(
        "1",
        "neither",
        "lower end of the 95 % Wilson interval over questions (conversations)",
        (ComparisonTable(2), ViewColumn(9901)),
    ),
    "quality/score_ci_high": Metric(
        "1",
        "neither",
        "upper end of the 95 % Wilson interval over questions (conversations)",
        (ComparisonTable(3), ViewColumn(9902)),
    ),
    "quality/score_n": Metric(
        "questions",
        "neither",
        "distinct questions in the score and its interval",
        not_shown="the description names it where it is too small to rank models",
    ),
    "quality/n": Metric(
        "questions",
        "neither",
        "planned questions (or turns) x repeats: the denominator of every rate",
        (JobTable(2),),
    ),
    "running/score": Metric(
        "1", "higher", "mean score of the questions finished so far, by question count", (ViewLine(1),)
    ),
}
