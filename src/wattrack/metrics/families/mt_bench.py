"""MT-Bench: ratings by a judge model."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")

ROWS = {
    "quality/mt_bench": Metric(
        "points", "higher", "judge's rating from 1 to 10, mean over both turns (MT-Bench)", (JobTable(1201),)
    ),
    **{
        f"quality/mt_bench_turn{n}": Metric("points", "higher", f"mt_bench of turn {n}", (JobTable(1201 + n),))
        for n in (1, 2)
    },
    "quality/mt_bench_parsed": Metric(
        "1", "higher", "share of the judge's replies with one readable rating", (JobTable(1204), ScorePlot())
    ),
    **{
        f"quality/mt_bench_{c}": Metric(
            "points", "higher", f"mt_bench of {c}", not_shown="it is a part of mt_bench, over ten questions"
        )
        for c in CATEGORIES
    },
}
