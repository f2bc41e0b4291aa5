"""WattBot: values with their sources, by the published rules and by strict ones."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

ROWS = {
    "quality/wattbot_value": Metric(
        "1",
        "higher",
        "WattBot's published rule for values; unanswerable ones always pass",
        (JobTable(1101), ScorePlot()),
    ),
    "quality/wattbot_ref": Metric(
        "1", "higher", "Jaccard index of the document ids given and expected", (JobTable(1102), ScorePlot())
    ),
    "quality/wattbot_na_recall": Metric(
        "1", "higher", "unanswerable questions that were left blank", (JobTable(1103), ScorePlot())
    ),
    "quality/wattbot_overall": Metric(
        "1",
        "higher",
        "0.75 wattbot_value + 0.15 wattbot_ref + 0.10 wattbot_na_recall (1 without such questions)",
        (JobTable(1104),),
    ),
    "quality/wattbot_weighted": Metric(
        "1",
        "higher",
        "mean of WattBot's score of single questions, na_recall 1 where answerable: not wattbot_overall",
        (ScorePlot(),),
    ),
    "quality/wattbot_value_strict": Metric(
        "1",
        "higher",
        "value right within 0.1 %, both sides normalised; unanswerable: a blank was given",
        (ScorePlot(),),
    ),
    "quality/wattbot_ref_strict": Metric(
        "1", "higher", "wattbot_ref, 0 for a reply that cannot be read", (ScorePlot(),)
    ),
    "quality/wattbot_na_recall_strict": Metric(
        "1", "higher", "unanswerable questions answered with a blank in JSON", (ScorePlot(),)
    ),
    "quality/wattbot_overall_strict": Metric(
        "1",
        "higher",
        "wattbot_overall of the strict components; absent without an unanswerable question",
        (JobTable(1105),),
    ),
    "quality/wattbot_in_range": Metric(
        "1",
        "neither",
        "of questions for a range: a number inside was given, right by wattbot_value, not by the strict",
        (ScorePlot(),),
    ),
}
