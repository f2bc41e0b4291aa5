"""How much of a score to believe: answers that failed, were cut or could not be read."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

ROWS = {
    "quality/grammar_complete_rate": Metric(
        "1",
        "higher",
        "constrained decoding: share of answers that ended as a whole value; others were cut or failed",
        (JobTable(8001),),
    ),
    "quality/extraction_failure_rate": Metric(
        "1", "lower", "share of answers without an extractable answer", (JobTable(8002),)
    ),
    "quality/empty_rate": Metric("1", "lower", "share of written answers with no text at all", (JobTable(8003),)),
    "quality/truncated_rate": Metric("1", "lower", "share of written answers cut at max_new_tokens", (JobTable(8004),)),
    "quality/truncated_thinking_rate": Metric(
        "1",
        "lower",
        "share of answers cut at max_new_tokens inside their reasoning: nothing is left to score",
        (JobTable(8005),),
    ),
    "quality/error_rate": Metric("1", "lower", "share of questions the engine could not answer", (JobTable(8006),)),
    "quality/format_compliance": Metric(
        "1",
        "higher",
        "answers in the form that was asked for, right or wrong; JSON and calls have metrics of their own",
        (ScorePlot(),),
    ),
}
