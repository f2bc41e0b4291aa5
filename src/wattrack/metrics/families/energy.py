"""Energy: measured, modelled, and per piece of work."""

from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import (
    ComparisonTable,
    Description,
    Figure,
    JobTable,
    SweepPlot,
    SweepTable,
    ViewBar,
    ViewColumn,
    ViewLine,
    ViewParallel,
    ViewScatter,
)

_PART = "it is a part of the measured energy; tables/phases.json of the run has the parts of every phase"
_CHECK = "it is a check of one method by another; the tags plausibility.* and energy.flags say what came of it"
_RATIO = "it is a ratio of two figures that are shown"
_FIGURES: tuple[Figure, ...] = ("size_energy", "score_energy", "comparison")

ROWS = {
    "energy/measured_wh": Metric(
        "Wh",
        "lower",
        "generate window, counters and integrated power sensors only",
        (
            JobTable(8401),
            Description(8401),
            SweepTable(8401, "Wh"),
            ComparisonTable(8401),
            SweepPlot(8401, "energy, measured", _FIGURES, how="measured, generate phase"),
            ViewColumn(2, "measured energy"),
            ViewScatter(1, "measured energy"),
            ViewParallel(8401, "measured energy"),
            ViewBar(2, "measured energy", title="energy (Wh, measured)"),
        ),
    ),
    "energy/j_per_output_token": Metric(
        "J/token",
        "lower",
        "measured energy of the generate window / output tokens",
        (SweepTable(8402, "J/token", dropped=4), ComparisonTable(8404)),
    ),
    "energy/j_per_correct": Metric(
        "J",
        "lower",
        "measured energy of the generate window / correct answers",
        (JobTable(8403), SweepTable(8403, "J/correct"), ComparisonTable(8405), ViewColumn(4, "measured energy")),
    ),
    "energy/codecarbon_wh": Metric(
        "Wh",
        "lower",
        "codecarbon's total for the whole job; modelled unless tagged otherwise",
        (
            JobTable(8404),
            Description(8404),
            SweepTable(8404, "Wh (codecarbon)"),
            ComparisonTable(8402),
            SweepPlot(8404, "energy, modelled by codecarbon", _FIGURES, how="modelled by codecarbon, whole job"),
            ViewColumn(3, "modelled energy"),
            ViewScatter(2, "modelled energy"),
            ViewParallel(8404, "modelled energy"),
            ViewBar(3, "modelled energy", title="energy (Wh, modelled by codecarbon)"),
        ),
    ),
    "energy/j_per_question": Metric(
        "J", "lower", "measured energy of the generate window / questions", not_shown=_RATIO
    ),
    "energy/wh_per_question": Metric(
        "Wh", "lower", "measured energy of the generate window / questions", not_shown=_RATIO
    ),
    "energy/score_per_wh": Metric("1/Wh", "higher", "score / measured energy of the generate window", not_shown=_RATIO),
    "energy/modelled_wh": Metric(
        "Wh",
        "lower",
        "whole job, codecarbon's load and RAM models only",
        not_shown="it is the modelled part of codecarbon's total, which is shown",
    ),
    "energy/job_wh": Metric(
        "Wh", "lower", "measured energy from opening to closing of the meters, load and all", not_shown=_PART
    ),
    "energy/above_idle_wh": Metric(
        "Wh",
        "lower",
        "measured energy of the generate window minus idle power x its length; the gross is the headline",
        not_shown="only the gross may be compared between machines",
    ),
    "energy/codecarbon_difference_percent": Metric(
        "%",
        "neither",
        "(codecarbon's mean power / ours - 1) x 100 over the job, of the parts that both measured",
        not_shown=_CHECK,
    ),
    "energy/gpu_wh": Metric("Wh", "lower", "GPU part of the measured energy, generate window", not_shown=_PART),
    "energy/gpu_integrated_wh": Metric(
        "Wh",
        "lower",
        "integrated power of the GPUs, where energy/gpu_wh is their counter's: a cross-check, not a part",
        not_shown=_CHECK,
    ),
    "energy/gpu_difference_percent": Metric(
        "%", "neither", "(integrated power - counter) / counter x 100, generate window", not_shown=_CHECK
    ),
    "energy/gpu_error_bound_wh": Metric(
        "Wh",
        "lower",
        "largest error of energy/gpu_wh that update period and sensor tolerance (5 %) explain",
        not_shown=_CHECK,
    ),
    "energy/cpu_wh": Metric("Wh", "lower", "CPU part of the measured energy (RAPL), generate window", not_shown=_PART),
    "energy/dram_wh": Metric(
        "Wh", "lower", "DRAM part of the measured energy (RAPL), generate window", not_shown=_PART
    ),
    "running/energy_wh": Metric(
        "Wh", "lower", "measured energy since the generate window opened", (ViewLine(8401, "measured energy"),)
    ),
}
