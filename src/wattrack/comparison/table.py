"""What one job measured, as a table for the terminal, and how numbers are written for people."""

import math
from collections.abc import Mapping

from rich.table import Table

from wattrack.metrics import METRICS, PASS_AT

_JOB_ROWS = (
    "quality/n",
    "quality/exact_match_strict",
    "quality/exact_match_flexible",
    "quality/exact_match_macro",
    "quality/math_verify",
    "quality/exact_minerva",
    "quality/pass_at_1",
    "quality/pass_at_1_flexible",
    *(f"quality/pass_at_{k}" for k in PASS_AT),
    "quality/prompt_strict",
    "quality/prompt_loose",
    "quality/instruction_strict",
    "quality/instruction_loose",
    "quality/letter_strict",
    "quality/letter_flexible",
    "quality/letter_macro",
    "quality/checks_all",
    "quality/checks_share",
    "quality/json_valid_strict",
    "quality/json_valid",
    "quality/schema_valid",
    "quality/field_accuracy",
    "quality/bfcl_accuracy",
    "quality/bfcl_non_live",
    "quality/bfcl_non_live_python",
    "quality/bfcl_live",
    "quality/bfcl_irrelevance_both",
    "quality/bfcl_single_turn",
    "quality/parse_ok",
    "quality/tool_selection",
    "quality/args_valid",
    "quality/arg_accuracy",
    "quality/call_f1",
    "quality/exact_success",
    "quality/irrelevance_accuracy",
    "quality/call_unreadable",
    "quality/toolbench_offline",
    "quality/toolbench_parsed",
    "quality/toolbench_known_tools",
    "quality/toolbench_arguments_covered",
    "quality/toolbench_finished",
    "quality/wattbot_value",
    "quality/wattbot_ref",
    "quality/wattbot_na_recall",
    "quality/wattbot_overall",
    "quality/wattbot_overall_strict",
    "quality/mt_bench",
    "quality/mt_bench_turn1",
    "quality/mt_bench_turn2",
    "quality/mt_bench_parsed",
    "quality/acc",
    "quality/acc_norm",
    "quality/acc_macro",
    "quality/near_tie_rate",
    "quality/grammar_complete_rate",
    "quality/extraction_failure_rate",
    "quality/empty_rate",
    "quality/truncated_rate",
    "quality/truncated_thinking_rate",
    "quality/error_rate",
    "throughput/output_tokens_per_s",
    "throughput/questions_per_s",
    "latency/ttft_s_p50",
    "latency/itl_s_p50",
    "latency/e2e_s_p50",
    "memory/vram_peak_gib",
    "memory/rss_peak_gib",
    "memory/rss_added_gib",
    "energy/measured_wh",
    "energy/j_per_correct",
    "energy/codecarbon_wh",
    "carbon/co2e_g",
    "cost/usd",
    "time/generate_s",
    "time/total_s",
)

_ABSENT = "-"


def number(value: float | None) -> str:
    """Three significant digits for people; an absent value is a dash."""
    if value is None or math.isnan(value):
        return _ABSENT
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:.2e}"


def score(metrics: Mapping[str, float | None]) -> str:
    """The score with its interval, in percent."""
    value, low, high = (metrics.get(f"quality/score{part}") for part in ("", "_ci_low", "_ci_high"))
    if value is None or low is None or high is None or math.isnan(value):
        return _ABSENT
    return f"{value:.1%} [{low:.1%}, {high:.1%}]"


def job_table(name: str, metrics: Mapping[str, float | None]) -> Table:
    """What one job measured; a metric that was not measured is not shown."""
    table = Table(title=name, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    shown = score(metrics)
    table.add_row("quality/score", shown, "95 % Wilson interval" if shown != _ABSENT else "not scored")
    for key in _JOB_ROWS:
        if (value := metrics.get(key)) is not None:
            table.add_row(key, number(value), METRICS[key].unit if METRICS[key].unit != "1" else "")
    return table
