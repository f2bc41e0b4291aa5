"""The type of a metric's row: unit, better direction, meaning, and where people see the number."""

from dataclasses import dataclass
from typing import Literal, TypeVar

from wattrack.metrics.shown import Place, ScorePlot

Better = Literal["higher", "lower", "neither"]
Kind = TypeVar("Kind", bound=Place | ScorePlot)


@dataclass(frozen=True, slots=True)
class Metric:
    """What one number is and where it is shown.

    Raises:
        ValueError: the row says both or neither of where the metric is shown and why it is shown nowhere.
    """

    unit: str
    better: Better
    meaning: str
    shown: tuple[Place | ScorePlot, ...] = ()
    """Every table, plot and view that shows it."""
    not_shown: str = ""
    """Why none does. The number is in `summary.json` and among the metrics of the MLflow run in any case."""
    pooled_by: str | None = None
    """The metric that counts the parts of a question, where this one is a share of such parts: its mean is then taken
    over all parts and not over questions. The count has no `quality/` before its name."""

    def __post_init__(self) -> None:
        if bool(self.shown) == bool(self.not_shown):
            raise ValueError(f"a metric is shown somewhere or says why not: {self.meaning}")

    def place(self, kind: type[Kind]) -> Kind | None:
        """Where the metric stands in a place of this kind; None when that place does not show it."""
        return next((place for place in self.shown if isinstance(place, kind)), None)
