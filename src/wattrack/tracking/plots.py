"""What every plot shares: style, labels, colours, and writing it as PNG with its data beside it.

Figures are made through matplotlib's objects, never through pyplot, so nothing is left open or shared between
jobs.
"""

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from wattrack.metrics.rows import METRICS
from wattrack.metrics.shown import SweepPlot

log = logging.getLogger(__name__)

XY = tuple[float, float]
Box = tuple[float, float, float, float]
"""Left, bottom, right, top in pixels."""

MUTED = "#6b7280"
"""Axes, grids and secondary text."""
INK = "#1f2937"

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "wattrack",
}

_OFFSETS = ((0, 9), (0, -17), (10, -4), (-10, -4), (10, 10), (-10, 10), (10, -18), (-10, -18), (0, 22), (0, -30))
"""Where a label may stand, in points from its marker; nearest first."""


def write_plot(
    folder: Path, name: str, data: pd.DataFrame, draw: Callable[[pd.DataFrame], Figure], missing: str
) -> bool:
    """Write `name`.png and its data as `name`.csv.

    Args:
        folder: existing folder.
        name: file name without ending.
        data: what is drawn; empty = there is nothing to draw.
        draw: data to figure.
        missing: why the data may be empty; logged when it is.

    Returns:
        Whether anything was written.
    """
    if data.empty:
        log.info("plot %s skipped: %s", name, missing)
        return False
    data.to_csv(folder / f"{name}.csv", index=False)
    with rc_context(_STYLE):
        draw(data).savefig(folder / f"{name}.png", dpi=144)
    return True


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that lays itself out."""
    return Figure(figsize=(width_in, height_in), layout="constrained", facecolor="white")


def axis_label(metric: str) -> str:
    """What the metric's row in METRICS calls it in plots of a sweep, and its unit."""
    place, unit = METRICS[metric].place(SweepPlot), METRICS[metric].unit
    name = metric if place is None else place.label
    return name if unit == "1" else f"{name} ({unit})"


def size_label(params_b: float) -> str:
    """A number of parameters, given in billions: 0.0001 is "0.1 M", 7.61 is "7.6 B"."""
    return f"{params_b:.2g} B" if params_b >= 0.1 else f"{params_b * 1000:.2g} M"


def number_label(value: float) -> str:
    """Three significant digits."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def place_labels(axes: Axes, points: Sequence[XY], texts: Sequence[str], avoid: Sequence[tuple[XY, XY]] = ()) -> None:
    """Label each point where the label covers no other label, point or line, as far as there is such a place.

    Call it last: it measures texts, so limits and scales must be final.

    Args:
        axes: where the points are drawn.
        points: positions in data coordinates.
        texts: one label for each.
        avoid: lines to keep clear of, as pairs of ends in data coordinates.
    """
    axes.get_figure(root=True).draw_without_rendering()  # type: ignore[union-attr]
    taken = [_around(*_pixels(axes, point), 7) for point in points]
    taken += [_around(x, y, 2) for start, end in avoid for x, y in _along(_pixels(axes, start), _pixels(axes, end))]
    frame = _box(axes)
    for point, text in zip(points, texts, strict=True):
        notes = [_note(axes, text, point, offset) for offset in _OFFSETS]
        boxes = [_box(note) for note in notes]
        costs = [sum(_overlap(box, other) for other in taken) + (1e6 if _outside(box, frame) else 0.0) for box in boxes]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        for number, note in enumerate(notes):
            if number != best:
                note.remove()


def _note(axes: Axes, text: str, point: XY, offset: XY) -> Annotation:
    side: Literal["left", "center", "right"] = "center"
    if offset[0] != 0:
        side = "left" if offset[0] > 0 else "right"
    note = axes.annotate(text, point, xytext=offset, textcoords="offset points", ha=side, fontsize=9)
    note.set_in_layout(False)
    return note


def _pixels(axes: Axes, point: XY) -> XY:
    x, y = axes.transData.transform(point)
    return float(x), float(y)


def _box(artist: Artist) -> Box:
    left, bottom, right, top = artist.get_window_extent().extents
    return float(left), float(bottom), float(right), float(top)


def _around(x: float, y: float, radius: float) -> Box:
    return (x - radius, y - radius, x + radius, y + radius)


def _along(start: XY, end: XY) -> list[XY]:
    """Points on a line, about six pixels apart."""
    steps = max(1, round(math.dist(start, end) / 6))
    return [
        (start[0] + (end[0] - start[0]) * i / steps, start[1] + (end[1] - start[1]) * i / steps) for i in range(steps)
    ]


def _outside(box: Box, frame: Box) -> bool:
    return box[0] < frame[0] or box[2] > frame[2] or box[1] < frame[1] or box[3] > frame[3]


def _overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
