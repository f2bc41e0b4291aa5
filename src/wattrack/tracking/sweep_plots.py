"""Plots of a sweep: size, quality and energy of its models against each other."""

import math
import re
import textwrap
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from wattrack.metrics.rows import METRICS, shown_in
from wattrack.metrics.shown import Figure as FigureName
from wattrack.metrics.shown import SweepPlot
from wattrack.results.columns import metric, param
from wattrack.results.conditions import reasons, refusals
from wattrack.results.question_sets import by_questions
from wattrack.results.varied import varied
from wattrack.tracking.colors import plot_colors
from wattrack.tracking.plots import (
    MUTED,
    XY,
    axis_label,
    new_figure,
    number_label,
    place_labels,
    size_label,
    write_plot,
)

_WORDS = {"preset/batch_size": "batch "}
"""What stands before the value of a setting that says little alone; of other numbers, the setting's name."""


def write_sweep_plots(folder: Path, runs: pd.DataFrame) -> None:
    """Write every comparison that the finished runs allow, each as PNG and CSV.

    Args:
        folder: existing folder.
        runs: as `Tracker.load_runs` returns them.
    """
    sets = by_questions(runs)
    for asked in sets:
        _write_plots(folder, asked.runs, asked.name if len(sets) > 1 else "")


def _write_plots(folder: Path, runs: pd.DataFrame, asked: str) -> None:
    """The plots of runs that were asked the same; where a sweep asked several things, names and titles say which."""
    data = plot_data(runs)
    energy = energy_column(data)
    sized = data.dropna(subset=["params_b", "quality/score"]) if not data.empty else data
    sized = sized if len(sized) > 1 else pd.DataFrame()
    costed = data.dropna(subset=[energy]) if energy else pd.DataFrame()
    both = sized.dropna(subset=[energy]) if energy and not sized.empty else pd.DataFrame()
    needs_size, no_energy = "fewer than two finished runs state model/params_b", "no finished run has energy"
    plots: tuple[tuple[FigureName, pd.DataFrame, Callable[[pd.DataFrame], Figure], str], ...] = (
        ("size_score", sized, draw_size_score, needs_size),
        ("size_energy", both, lambda d: draw_size_energy(d, str(energy)), f"{needs_size}, or {no_energy}"),
        ("score_energy", costed, lambda d: draw_score_energy(d, str(energy)), no_energy),
        ("comparison", data, lambda d: draw_comparison(d, energy), "no run finished with a score"),
    )
    ending = re.sub(r"[^\w.-]+", "_", f" {asked}") if asked else ""
    for name, of_plot, draw, missing in plots:
        write_plot(folder, f"{name}{ending}", of_plot, partial(_titled, draw, asked), missing)


def _titled(draw: Callable[[pd.DataFrame], Figure], asked: str, data: pd.DataFrame) -> Figure:
    figure = draw(data)
    if asked:
        figure.suptitle("\n".join(filter(None, [asked, figure.get_suptitle()])), x=0.01, ha="left", fontweight="bold")
    return figure


def energy_column(data: pd.DataFrame) -> str | None:
    """Measured energy when every run has it, else codecarbon's; None when no run has either. They are never mixed."""
    *measured, modelled = _drawn_in("size_energy")
    complete = [name for name in measured if name in data and not data.empty and data[name].notna().all()]
    if complete:
        return complete[0]
    return modelled if modelled in data and data[modelled].notna().any() else None


def _drawn_in(figure: FigureName) -> dict[str, SweepPlot]:
    """The metrics of one of the plots, in their order."""
    return {name: place for name, place in shown_in(SweepPlot).items() if figure in place.figures}


def plot_data(runs: pd.DataFrame) -> pd.DataFrame:
    """The finished runs that have a score: run_id, label, model, group, params_b and every metric.

    `label` is the model and whatever else differs between the runs; `group` is that rest, the same for a line
    of sizes. Metrics that the runs may not be compared by are left out, and the column `not_compared` says why.
    """
    if (score := metric("quality/score")) not in runs:
        return pd.DataFrame()
    kept = runs[(runs["status"] == "FINISHED") & runs[score].notna()].reset_index(drop=True)
    if kept.empty:
        return pd.DataFrame()
    model = kept[param("model")] if param("model") in kept else kept["name"]
    differing = varied(kept)
    parts = pd.DataFrame({name: _named(name, kept[param(name)]) for name in differing})
    group = parts.agg(" · ".join, axis=1) if differing else pd.Series("", index=kept.index)
    size = param("model/params_b")
    sizes = kept[size] if size in kept else pd.Series(math.nan, index=kept.index)
    facts = pd.DataFrame(
        {
            "run_id": kept["run_id"],
            "label": [f"{m} · {g}" if g else m for m, g in zip(model, group, strict=True)],
            "model": model,
            "group": group,
            "params_b": pd.to_numeric(sizes, errors="coerce"),
        }
    )
    refused = refusals([{str(key): value for key, value in run.items()} for run in kept.to_dict("records")])
    if why := reasons({name: reason for name, reason in refused.items() if name in shown_in(SweepPlot)}):
        facts["not_compared"] = "\n".join(why)
    columns = {metric(name): name for name in METRICS if name not in refused}
    metrics = kept[[column for column in columns if column in kept and kept[column].notna().any()]]
    return pd.concat([facts, metrics.rename(columns=columns)], axis=1)


def _named(setting: str, values: "pd.Series[Any]") -> "pd.Series[Any]":
    """The values of a setting for a label: with its name where they are numbers, switches or nothing."""
    texts = values.astype(str).replace("null", "auto")
    name = setting.rpartition("/")[2]
    bare = texts.str.fullmatch(r"[-+.\de]+|auto|True|False|nan").any()
    return _WORDS.get(setting, f"{name} " if bare else "") + texts


def draw_size_score(data: pd.DataFrame) -> Figure:
    """Score with its interval over the number of parameters."""
    figure = new_figure(7.5, 5)
    axes = figure.add_subplot()
    lines = _lines_by_size(axes, data, "quality/score")
    colors = plot_colors(data["model"])
    for _, run in data.iterrows():
        low, high = run.get("quality/score_ci_low", math.nan), run.get("quality/score_ci_high", math.nan)
        score = run["quality/score"]
        errors = [[max(0.0, score - low)], [max(0.0, high - score)]] if low == low and high == high else None
        axes.errorbar(run["params_b"], score, yerr=errors, fmt="o", markersize=8, capsize=4, color=colors[run["model"]])
    _score_axis(axes)
    _size_axis(axes, data)
    axes.set_title("Score by model size, with 95 % intervals")
    bars = [
        ((run["params_b"], run["quality/score_ci_low"]), (run["params_b"], run["quality/score_ci_high"]))
        for _, run in data.iterrows()
        if {"quality/score_ci_low", "quality/score_ci_high"} <= set(data) and run["quality/score_ci_low"] >= 0
    ]
    place_labels(axes, _points(data, "params_b", "quality/score"), list(data["label"]), lines + bars)
    return figure


def draw_size_energy(data: pd.DataFrame, energy: str) -> Figure:
    """Energy over the number of parameters, both logarithmic."""
    figure = new_figure(7.5, 5)
    axes = figure.add_subplot()
    lines = _lines_by_size(axes, data, energy)
    _scatter(axes, data, "params_b", energy)
    _energy_axis(axes, data, energy, "y")
    _size_axis(axes, data)
    axes.set_title(f"Energy by model size ({_how(energy)})")
    place_labels(axes, _points(data, "params_b", energy), list(data["label"]), lines)
    return figure


def draw_score_energy(data: pd.DataFrame, energy: str) -> Figure:
    """Score over energy: up and to the left is better."""
    figure = new_figure(7.5, 5)
    axes = figure.add_subplot()
    _scatter(axes, data, energy, "quality/score")
    _score_axis(axes)
    _energy_axis(axes, data, energy, "x")
    axes.set_title(f"Score by energy ({_how(energy)}); up and left is better")
    place_labels(axes, _points(data, energy, "quality/score"), list(data["label"]))
    return figure


def draw_comparison(data: pd.DataFrame, energy: str | None) -> Figure:
    """Small multiples of the headline metrics; every panel in the same order, best score first."""
    drawn, others = _drawn_in("comparison"), _drawn_in("size_energy").keys() - {energy}
    present = [m for m in drawn if m not in others and m in data and data[m].notna().any()]
    metrics = [m for m in present if drawn[m].unless not in present]
    ordered = data.sort_values("quality/score", ascending=False)
    colors = plot_colors(data["model"])
    columns = min(3, len(metrics))
    rows = math.ceil(len(metrics) / columns)
    figure = new_figure(1.5 + 3.6 * columns, rows * (1.2 + 0.36 * len(ordered)))
    places = range(len(ordered))
    for number, name in enumerate(metrics):
        axes = figure.add_subplot(rows, columns, number + 1)
        values = ordered[name]
        axes.barh(places, values.fillna(0), color=[colors[m] for m in ordered["model"]], height=0.7)
        top = values.max() or 1.0
        for place, value in zip(places, values, strict=True):
            text = "not measured" if math.isnan(value) else number_label(value)
            axes.text((0 if math.isnan(value) else value) + 0.02 * top, place, text, va="center", fontsize=9)
        axes.set_xlim(0, 1.25 * top)
        axes.set_yticks(places, ordered["label"] if number % columns == 0 else [""] * len(ordered))
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        better = {"higher": " ↑", "lower": " ↓", "neither": ""}[METRICS[name].better]
        axes.set_title(axis_label(name) + better, fontsize=9.5)
    if "not_compared" in data:
        notes = [textwrap.fill(line, 40 * columns) for line in str(data["not_compared"].iloc[0]).split("\n")]
        figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=9, color=MUTED)
    figure.suptitle("Comparison, best score first; the arrow points to better", x=0.01, ha="left", fontweight="bold")
    return figure


def _how(energy: str) -> str:
    return shown_in(SweepPlot)[energy].how


def _scatter(axes: Axes, data: pd.DataFrame, x: str, y: str) -> None:
    colors = plot_colors(data["model"])
    axes.scatter(data[x], data[y], s=70, c=[colors[m] for m in data["model"]], zorder=3)


def _points(data: pd.DataFrame, x: str, y: str) -> list[XY]:
    return list(zip(data[x].astype(float), data[y].astype(float), strict=True))


def _lines_by_size(axes: Axes, data: pd.DataFrame, y: str) -> list[tuple[XY, XY]]:
    """A thin line through the sizes of each group of otherwise equal runs; returns its pieces."""
    pieces: list[tuple[XY, XY]] = []
    for _, runs in data.groupby("group"):
        ordered = runs.sort_values("params_b")
        pieces += pairwise(_points(ordered, "params_b", y))
        axes.plot(ordered["params_b"], ordered[y], color=MUTED, linewidth=1, alpha=0.6, zorder=1)
    return pieces


def _score_axis(axes: Axes) -> None:
    axes.set_ylim(-0.02, 1.05)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["0", "20 %", "40 %", "60 %", "80 %", "100 %"])
    axes.set_ylabel("score")


def _size_axis(axes: Axes, data: pd.DataFrame) -> None:
    """Logarithmic, with a tick at each size that leaves room for its label."""
    axes.set_xscale("log")
    low, high = data["params_b"].min(), data["params_b"].max()
    margin = max((high / low) ** 0.12, 1.3)
    axes.set_xlim(low / margin, high * margin)
    room = (high * margin * margin / low) ** 0.09
    ticks: list[float] = []
    for size in sorted(data["params_b"].unique()):
        if not ticks or size / ticks[-1] > room:
            ticks.append(float(size))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size_label(value)))
    axes.set_xlabel("parameters (logarithmic)")


def _energy_axis(axes: Axes, data: pd.DataFrame, energy: str, which: Literal["x", "y"]) -> None:
    """Logarithmic where the values span more than a factor of five, else from zero."""
    low, high = data[energy].min(), data[energy].max()
    axis = axes.xaxis if which == "x" else axes.yaxis
    limits = axes.set_xlim if which == "x" else axes.set_ylim
    scale = axes.set_xscale if which == "x" else axes.set_yscale
    label = axes.set_xlabel if which == "x" else axes.set_ylabel
    if low > 0 and high / low > 5:
        scale("log")
        limits(low / 1.6, high * 1.6)
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
    else:
        limits(0, 1.15 * high if high > 0 else 1)
    axis.set_major_formatter(FuncFormatter(lambda value, _: number_label(value)))
    label(axis_label(energy))
