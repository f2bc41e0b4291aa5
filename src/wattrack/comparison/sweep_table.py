"""The jobs of a sweep beside each other, as a table for the terminal."""

import pandas as pd
from rich.console import Console
from rich.table import Table

from wattrack.metrics.rows import shown_in
from wattrack.metrics.shown import SweepTable
from wattrack.results.columns import metric, metrics_of, param
from wattrack.results.conditions import by_contention, contended, reasons, refusals
from wattrack.results.question_sets import by_questions
from wattrack.results.tables import number, score
from wattrack.results.varied import varied

_SAME = ("dataset", "dataset/protocol", "preset")
"""Settings that the title names where all jobs agree in them."""


def sweep_tables(runs: pd.DataFrame, width: int | None = None) -> list[Table]:
    """One table for each set of questions that the sweep asked: across them no score is ranked.

    Args:
        runs: as `Tracker.load_runs` returns them.
        width: characters of the terminal; None = as wide as it is.
    """
    sets = by_questions(runs)
    return [sweep_table(asked.runs, width, asked.name if len(sets) > 1 else None) for asked in sets]


def sweep_table(runs: pd.DataFrame, width: int | None = None, asked: str | None = None) -> Table:
    """The jobs of a sweep that were asked the same, best score first; failed jobs last, with their status.

    What may not be compared has no column; the caption says why. `rows` are the mean rows in flight, without which
    tok/s and J/token of different batches cannot be read.

    Args:
        runs: as `Tracker.load_runs` returns them.
        width: characters of the terminal; the caption names what did not fit. None = as wide as it is.
        asked: what they were asked, for the title; None = the dataset, protocol and preset in which all agree.
    """
    refused = refusals([{str(key): value for key, value in run.items()} for run in runs.to_dict("records")])
    places = shown_in(SweepTable)
    shown = [key for key in places if key not in refused or by_contention(refused[key])]
    columns = [key for key in shown if metric(key) in runs and runs[metric(key)].notna().any()]
    notes = reasons({key: refused[key] for key in places if key in refused})
    going = sorted(columns, key=lambda key: _last_to_stay(places[key]))
    table, gone = _table(runs, columns, asked), going[:0]
    for count in range(len(columns) + 1):
        if width is None or Console(width=10_000).measure(table).maximum <= width:
            break
        gone = going[:count]
        table = _table(runs, [key for key in columns if key not in gone], asked, narrow=True)
    if gone:
        titles = ", ".join(places[key].heading for key in gone)
        notes.append(f"Too narrow for {titles}: in MLflow, or in a wider terminal.")
    table.caption = "\n".join(notes)
    return table


def _last_to_stay(place: SweepTable) -> tuple[int, int]:
    """Sorts columns by when a narrow terminal does without them: as their rows say, then from the right."""
    return (0, place.dropped) if place.dropped is not None else (1, -place.order)


def _table(runs: pd.DataFrame, columns: list[str], asked: str | None, *, narrow: bool = False) -> Table:
    """`narrow` headings have two lines."""
    settings = ["model", *varied(runs)]
    agreed = [name for name in _SAME if param(name) in runs and name not in settings]
    if asked is not None:
        agreed = [name for name in agreed if not name.startswith("dataset")]
    same = [] if asked is None else [asked]
    same += [str(value) for name in agreed for value in runs[param(name)].dropna()[:1]]
    title = f"Comparison{' of ' + ', '.join(same) if same else ''}, sorted by score"
    table = Table(title=title, title_justify="left", caption_justify="left")
    for name in settings:
        table.add_column(name.rpartition("/")[2], no_wrap=True)
    table.add_column("score [95 % interval]", no_wrap=True)
    for key in columns:
        title = shown_in(SweepTable)[key].heading
        table.add_column(title.replace(" ", "\n", 1) if narrow else title, justify="right", no_wrap=True)
    by = metric("quality/score")
    ordered = runs.sort_values(by, ascending=False, na_position="last") if by in runs else runs
    for _, run in ordered.iterrows():
        values = {str(key): value for key, value in run.items()}
        metrics = metrics_of(values)
        finished = values["status"] == "FINISHED"
        table.add_row(
            *(str(values.get(param(key), "-")) for key in settings),
            score(metrics) if finished else str(values["status"]).lower(),
            *("contended" if finished and contended(values, key) else number(metrics.get(key)) for key in columns),
        )
    return table
