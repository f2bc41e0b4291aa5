"""Answers that equal their target: numbers and the tasks of BIG-Bench Hard."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import JobTable, ScorePlot

BBH_TASKS = tuple(
    """
    boolean_expressions causal_judgement date_understanding disambiguation_qa dyck_languages formal_fallacies
    geometric_shapes hyperbaton logical_deduction_five_objects logical_deduction_seven_objects
    logical_deduction_three_objects movie_recommendation multistep_arithmetic_two navigate object_counting
    penguins_in_a_table reasoning_about_colored_objects ruin_names salient_translation_error_detection snarks
    sports_understanding temporal_sequences tracking_shuffled_objects_five_objects
    tracking_shuffled_objects_seven_objects tracking_shuffled_objects_three_objects web_of_lies word_sorting
    """.split()  # noqa: SIM905
)
"""The tasks of BIG-Bench Hard; each has its own share of right answers."""

ROWS = {
    "quality/exact_match_strict": Metric(
        "1", "higher", "what follows the required answer marker equals the target", (JobTable(101), ScorePlot())
    ),
    "quality/exact_match_flexible": Metric(
        "1", "higher", "last number, or answer in any form, equals the target", (JobTable(102), ScorePlot())
    ),
    "quality/exact_match_macro": Metric(
        "1", "higher", "mean over groups (tasks) of exact_match_strict", (JobTable(103),)
    ),
    **{
        f"quality/bbh_{task}": Metric("1", "higher", f"exact_match_strict of BBH's {task}", (ScorePlot(),))
        for task in BBH_TASKS
    },
}
