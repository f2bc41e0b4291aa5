"""The places where a metric can be shown. A metric's row names those that show it, and each place reads the rows.

Every place has an order of its own, stated by a number in the row; no two metrics have the same number in one place.
The hundreds of a number belong to one family of metrics, so that a new benchmark takes a hundred that is free.
"""

from dataclasses import dataclass
from typing import Literal

When = Literal["always", "measured energy", "modelled energy", "GPU memory", "host memory", "text", "choices"]
"""What the runs of an experiment must have for a saved view to show the metric."""
Figure = Literal["size_score", "size_energy", "score_energy", "comparison"]
"""The plots of a sweep, by the names of their files."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place of any kind."""

    order: int
    """Where the metric stands among the others of this place."""


@dataclass(frozen=True, slots=True)
class JobTable(Place):
    """A row of the table that the terminal shows when a job has ended."""


@dataclass(frozen=True, slots=True)
class Description(Place):
    """A row of the table in a run's description."""


@dataclass(frozen=True, slots=True)
class SweepTable(Place):
    """A column of the table that the terminal shows when a sweep has ended."""

    heading: str
    dropped: int | None = None
    """Place in the order in which a narrow terminal does without columns. Those without one go last, from the right."""


@dataclass(frozen=True, slots=True)
class ComparisonTable(Place):
    """A column of `tables/comparison.json`, the table in a sweep's MLflow run."""


@dataclass(frozen=True, slots=True)
class ScorePlot:
    """A bar of a job's plot `score`, on an axis from 0 to 100 %; the bars are sorted by the metrics' names."""


@dataclass(frozen=True, slots=True)
class SweepPlot(Place):
    """An axis, or a panel of `comparison`, in plots of a sweep."""

    label: str
    """The axis label, to which the unit is added."""
    figures: tuple[Figure, ...] = ("comparison",)
    unless: str | None = None
    """The metric in whose place this one is shown: no panel where the runs have that one."""
    how: str = ""
    """How the figures were obtained; it stands in the title of a plot of energy."""


@dataclass(frozen=True, slots=True)
class ViewPlace(Place):
    """A place in the saved views of the MLflow UI."""

    when: When = "always"


@dataclass(frozen=True, slots=True)
class ViewColumn(ViewPlace):
    """A column of the views `Leaderboard` and `By model`."""


@dataclass(frozen=True, slots=True)
class ViewScatter(ViewPlace):
    """A chart of the score over this metric in the view `Trade-offs`."""


@dataclass(frozen=True, slots=True)
class ViewParallel(ViewPlace):
    """An axis of the chart with parallel coordinates in the view `Trade-offs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewBar(ViewPlace):
    """A bar chart in the view `Trade-offs`."""

    title: str
    section: Literal["Quality", "Cost"] = "Cost"


@dataclass(frozen=True, slots=True)
class ViewLine(ViewPlace):
    """A line chart in the view `Over questions`."""
