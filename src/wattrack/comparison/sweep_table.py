"""The jobs of a sweep beside each other, as a table for the terminal."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from wattrack.comparison.conditions import by_contention, contended, reasons, refusals
from wattrack.comparison.table import number, score
from wattrack.comparison.varied import varied

_COLUMNS = (
    ("tok/s", "throughput/output_tokens_per_s"),
    ("questions/s", "throughput/questions_per_s"),
    ("rows", "throughput/rows_mean"),
    ("TTFT p50 s", "latency/ttft_s_p50"),
    ("VRAM GiB", "memory/vram_peak_gib"),
    ("RSS added GiB", "memory/rss_added_gib"),
    ("Wh", "energy/measured_wh"),
    ("J/token", "energy/j_per_output_token"),
    ("J/correct", "energy/j_per_correct"),
    ("Wh (codecarbon)", "energy/codecarbon_wh"),
    ("total s", "time/total_s"),
)
_FIRST_TO_GO = ("questions/s", "total s", "RSS added GiB", "J/token", "TTFT p50 s", "rows")
"""Columns that a narrow terminal does without, in this order; then the others, from the right."""
_SAME = ("dataset", "dataset/protocol", "preset")
"""Settings that the title names where all jobs agree in them."""


def sweep_table(runs: pd.DataFrame, width: int | None = None) -> Table:
    """The jobs of a sweep, best score first; failed jobs last, with their status.

    What may not be compared has no column; the caption says why. `rows` are the mean rows in flight, without which
    tok/s and J/token of different batches cannot be read.

    Args:
        runs: as `Tracker.load_runs` returns them.
        width: characters of the terminal; the caption names what did not fit. None = as wide as it is.
    """
    refused = refusals([{str(key): value for key, value in run.items()} for run in runs.to_dict("records")])
    shown = [(title, key) for title, key in _COLUMNS if key not in refused or by_contention(refused[key])]
    columns = [(title, key) for title, key in shown if key in runs and runs[key].notna().any()]
    notes = reasons({key: refused[key] for _, key in _COLUMNS if key in refused})
    going = sorted(columns, key=lambda column: _last_to_stay(column[0]))
    table, gone = _table(runs, columns), going[:0]
    for count in range(len(columns) + 1):
        if width is None or Console(width=10_000).measure(table).maximum <= width:
            break
        gone = going[:count]
        table = _table(runs, [column for column in columns if column not in gone], narrow=True)
    if gone:
        titles = ", ".join(title for title, _ in gone)
        notes.append(f"Too narrow for {titles}: in MLflow, or in a wider terminal.")
    table.caption = "\n".join(notes)
    return table


def _last_to_stay(title: str) -> int:
    if title in _FIRST_TO_GO:
        return _FIRST_TO_GO.index(title)
    return len(_FIRST_TO_GO) + len(_COLUMNS) - [name for name, _ in _COLUMNS].index(title)


def _table(runs: pd.DataFrame, columns: list[tuple[str, str]], *, narrow: bool = False) -> Table:
    """`narrow` headings have two lines."""
    settings = ["model", *varied(runs)]
    same = [str(v) for name in _SAME if name in runs and name not in settings for v in runs[name].dropna()[:1]]
    title = f"Comparison{' of ' + ', '.join(same) if same else ''}, sorted by score"
    table = Table(title=title, title_justify="left", caption_justify="left")
    for name in settings:
        table.add_column(name.rpartition("/")[2], no_wrap=True)
    table.add_column("score [95 % interval]", no_wrap=True)
    for title, _ in columns:
        table.add_column(title.replace(" ", "\n", 1) if narrow else title, justify="right", no_wrap=True)
    by = "quality/score"
    ordered = runs.sort_values(by, ascending=False, na_position="last") if by in runs else runs
    for _, run in ordered.iterrows():
        values = {str(key): value for key, value in run.items()}
        finished = values["status"] == "FINISHED"
        table.add_row(
            *(str(values.get(key, "-")) for key in settings),
            score(values) if finished else str(values["status"]).lower(),
            *("contended" if finished and contended(values, key) else number(values.get(key)) for _, key in columns),
        )
    return table
