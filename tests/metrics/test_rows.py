"""METRICS: every metric says where it is shown, and every place has an order and headings of its own."""

from collections import Counter

import pytest

from wattrack.metrics import shown
from wattrack.metrics.metric import Metric
from wattrack.metrics.rows import METRICS, shown_in
from wattrack.metrics.shown import JobTable, Place, ScorePlot, SweepPlot, SweepTable, ViewBar, ViewPlace

PLACES = [
    kind
    for kind in vars(shown).values()
    if isinstance(kind, type) and issubclass(kind, Place) and kind not in (Place, ViewPlace)
]


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_shown_or_says_why_not(name: str) -> None:
    metric = METRICS[name]
    assert bool(metric.shown) != bool(metric.not_shown)
    kinds = Counter(type(place) for place in metric.shown)
    assert max(kinds.values(), default=1) == 1, "one place of a kind"


def test_a_row_that_says_neither_or_both_is_refused() -> None:
    for places, why in (((), ""), ((JobTable(1),), "nobody asks")):
        with pytest.raises(ValueError, match="is shown somewhere or says why not: a thing"):
            Metric("1", "higher", "a thing", places, why)


@pytest.mark.parametrize("kind", PLACES)
def test_every_place_shows_something_in_a_stated_order(kind: type[Place]) -> None:
    orders = [place.order for place in shown_in(kind).values()]
    assert orders and orders == sorted(set(orders)), "two metrics have the same number"


def test_headings_are_unique() -> None:
    headings = [place.heading for place in shown_in(SweepTable).values()]
    labels = [place.label for place in shown_in(SweepPlot).values()]
    bars = [(place.title, place.when) for place in shown_in(ViewBar).values()]
    for names in (headings, labels, bars):
        assert len(names) == len(set(names))


def test_a_narrow_terminal_drops_columns_in_a_stated_order() -> None:
    dropped = [place.dropped for place in shown_in(SweepTable).values() if place.dropped is not None]
    assert sorted(dropped) == list(range(1, len(dropped) + 1))


def test_bars_of_the_score_plot_are_shares_of_a_score() -> None:
    for name, metric in METRICS.items():
        if metric.place(ScorePlot) is not None:
            assert name.startswith("quality/") and metric.unit == "1", name


def test_what_stands_in_for_another_metric_names_one_that_is_drawn() -> None:
    places = shown_in(SweepPlot)
    assert all(place.unless is None or place.unless in places for place in places.values())


def test_what_is_pooled_names_a_metric() -> None:
    pooled = [metric.pooled_by for metric in METRICS.values() if metric.pooled_by is not None]
    assert pooled and all(f"quality/{name}" in METRICS for name in pooled)
