"""IFEval: instructions that a program can check."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

ROWS = {
    "quality/prompt_strict": Metric(
        "1", "higher", "prompts whose every instruction the text follows (IFEval)", (JobTable(401), ScorePlot())
    ),
    "quality/prompt_loose": Metric(
        "1", "higher", "the same, first and last line and asterisks forgiven", (JobTable(402), ScorePlot())
    ),
    "quality/instruction_strict": Metric(
        "1",
        "higher",
        "instructions followed, all prompts' pooled (IFEval)",
        (JobTable(403), ScorePlot()),
        pooled_by="n_instructions",
    ),
    "quality/instruction_loose": Metric(
        "1",
        "higher",
        "the same, first and last line and asterisks forgiven",
        (JobTable(404), ScorePlot()),
        pooled_by="n_instructions",
    ),
    "quality/n_instructions": Metric(
        "instructions",
        "neither",
        "instructions per prompt, mean",
        not_shown="it is a property of the prompts, the weight of the pooled shares",
    ),
}
