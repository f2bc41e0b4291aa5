"""What one job measured, as a table for the terminal, and how numbers are written for people."""

import math
from collections.abc import Mapping

from rich.table import Table

from wattrack.metrics.rows import METRICS, shown_in
from wattrack.metrics.shown import JobTable

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
    for key in shown_in(JobTable):
        if key == "quality/score":
            shown = score(metrics)
            table.add_row(key, shown, "95 % Wilson interval" if shown != _ABSENT else "not scored")
        elif (value := metrics.get(key)) is not None:
            table.add_row(key, number(value), METRICS[key].unit if METRICS[key].unit != "1" else "")
    return table
