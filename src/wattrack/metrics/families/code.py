"""Programs as answers."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

PASS_AT = (5, 10, 25, 50, 100)
"""k of pass@k beyond 1; each needs as many repeats."""

ROWS = {
    "quality/pass_at_1": Metric(
        "1", "higher", "program read as the benchmark says passes all its tests", (JobTable(301), ScorePlot())
    ),
    "quality/pass_at_1_flexible": Metric(
        "1", "higher", "program passes after stray text around it is cut", (JobTable(302), ScorePlot())
    ),
    **{
        f"quality/pass_at_{k}": Metric(
            "1", "higher", f"one of {k} answers passes (unbiased estimate over the repeats)", (JobTable(order),)
        )
        for order, k in enumerate(PASS_AT, start=303)
    },
}
