"""The jobs of a sweep as Markdown: the description of the sweep's run."""

import math

import pandas as pd

from wattrack.results.columns import metrics_of, param
from wattrack.results.conditions import reasons, refusals
from wattrack.results.question_sets import by_questions
from wattrack.results.tables import score
from wattrack.results.varied import varied

_SETTINGS = ("model", "dataset", "dataset/protocol", "preset")


def sweep_description(runs: pd.DataFrame) -> str:
    """A table of settings, score and status, best score first; one for each set of questions.

    Args:
        runs: as `Tracker.load_runs` returns them.
    """
    sets = by_questions(runs)
    if len(sets) == 1:
        return _table(sets[0].runs)
    parts = ["Scores of different questions or protocols are not ranked against each other."]
    parts += [f"**{asked.name}**\n\n{_table(asked.runs)}" for asked in sets]
    return "\n\n".join(parts)


def _table(runs: pd.DataFrame) -> str:
    settings = dict.fromkeys([*_SETTINGS, *varied(runs)])
    names = " | ".join(name.rpartition("/")[2] for name in settings)
    lines = [f"| {names} | score [95 % interval] | status |", "|---" * (len(settings) + 2) + "|"]
    rows = [{str(key): value for key, value in run.items()} for run in runs.to_dict("records")]
    for run in sorted(rows, key=_by_score):
        cells = [str(run.get(param(name), "")) for name in settings]
        lines.append(f"| {' | '.join(cells)} | {score(metrics_of(run))} | {run['status']} |")
    return "\n".join([*lines, *(f"\n{reason}" for reason in reasons(refusals(rows)))])


def _by_score(run: dict[str, object]) -> tuple[bool, float]:
    """Best first; a run without a score has none to be sorted by and comes last."""
    value = metrics_of(run).get("quality/score", math.nan)
    return (math.isnan(value), -value if not math.isnan(value) else 0.0)
