"""METRICS: everything that is measured. A metric exists when one of the families beside this file has a row for it.

A family is a module of `wattrack.metrics.families` with its rows in `ROWS`; all of them are read, so a new benchmark
brings its metrics as one new file. `/` in a name groups metrics in the MLflow UI, and the unit is in the name. A
summary with a key that has no row is a bug and fails a test.
"""

import importlib
import pkgutil
from collections.abc import Set
from typing import TypeVar

from wattrack.metrics import families
from wattrack.metrics.metric import Metric
from wattrack.metrics.shown import Place

AnyPlace = TypeVar("AnyPlace", bound=Place)


def _gathered() -> dict[str, Metric]:
    """The rows of every family, by the metric's name; ValueError where two families have the same name."""
    rows: dict[str, Metric] = {}
    for module in sorted(found.name for found in pkgutil.iter_modules(families.__path__)):
        own: dict[str, Metric] = importlib.import_module(f"{families.__name__}.{module}").ROWS
        if twice := rows.keys() & own.keys():
            raise ValueError(f"{module} has rows that another family has too: {', '.join(sorted(twice))}")
        rows |= own
    return rows


METRICS: dict[str, Metric] = _gathered()

POOLED = {
    name.removeprefix("quality/"): metric.pooled_by for name, metric in METRICS.items() if metric.pooled_by is not None
}
"""Shares of a question's parts -> the metric that counts the parts: the mean is over all parts, not over questions."""


def shown_in(kind: type[AnyPlace]) -> dict[str, AnyPlace]:
    """The metrics that a place shows, in the place's order: their names and what their rows say about it."""
    places = {name: place for name, metric in METRICS.items() if (place := metric.place(kind)) is not None}
    return dict(sorted(places.items(), key=lambda named: named[1].order))


def unknown_metrics(names: Set[str]) -> set[str]:
    """Names that have no row in METRICS."""
    return set(names - METRICS.keys())
