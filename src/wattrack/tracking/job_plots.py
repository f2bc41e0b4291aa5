"""Plots of one job: its score, its latencies, and the machine while it ran."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from wattrack.intervals import percentiles, wilson
from wattrack.metrics.rows import METRICS
from wattrack.metrics.shown import ScorePlot
from wattrack.results.latency import quantities
from wattrack.schema import JobResult, Readings
from wattrack.tracking.colors import model_color
from wattrack.tracking.plots import INK, MUTED, new_figure, number_label, write_plot

_PHASES = {
    "idle": "#e2e8f0",
    "load": "#dbeafe",
    "warmup": "#fde68a",
    "generate": "#bbf7d0",
    "probe": "#fbcfe8",
    "score": "#e5e7eb",
}
_OTHER_PHASE = "#f3f4f6"
_QUANTITIES = {
    "e2e, in the batch": "answer time inside its batch (throughput phase)",
    "e2e": "answer time at batch 1 (latency probe)",
    "TTFT": "time to first token at batch 1 (latency probe)",
    "ITL": "gap between tokens at batch 1 (latency probe)",
}

_DRAWN = {
    ("e2e", "generate"): "e2e, in the batch",
    ("e2e", "probe"): "e2e",
    ("ttft", "probe"): "TTFT",
    ("itl", "probe"): "ITL",
}
"""(quantity, window) -> its name in the plot; what one token's time says twice (tpot) is left out."""


def write_job_plots(folder: Path, model: str, result: JobResult) -> None:
    """Write every plot of the job that its data allows, each as PNG and CSV."""
    color = model_color(model)
    write_plot(folder, "score", score_data(result), lambda d: draw_score(d, model, color), "no question was scored")
    write_plot(
        folder, "latency", latency_data(result), lambda d: draw_latency(d, model, color), "no answer has a latency"
    )
    write_plot(
        folder,
        "system",
        system_data(result.readings),
        lambda d: draw_system(d, model, color, result.readings),
        "the sampler gave no readings",
    )


def score_data(result: JobResult) -> pd.DataFrame:
    """metric, value, low, high (95 % Wilson over questions): the score, then the shares whose rows put them here."""
    questions = len({record.id for record in result.records})
    counts = Counter(name for record in result.records if record.repeat == 0 for name in record.metrics)
    score = result.metrics.get("quality/score")
    if score is None or questions == 0:
        return pd.DataFrame()
    low, high = result.metrics.get("quality/score_ci_low"), result.metrics.get("quality/score_ci_high")
    rows: list[tuple[str, float, float | None, float | None]] = [("score", score, low, high)]
    graded = {name for record in result.records for name in record.metrics}
    for name in sorted(name for name in graded if METRICS[f"quality/{name}"].place(ScorePlot) is not None):
        if (value := result.metrics.get(f"quality/{name}")) is not None:
            rows.append((name, value, *wilson(min(1.0, max(0.0, value)), counts[name] or questions)))
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"]).assign(questions=questions)


def draw_score(data: pd.DataFrame, model: str, color: str) -> Figure:
    """Horizontal bars with their intervals."""
    figure = new_figure(7, 1.1 + 0.5 * len(data))
    axes = figure.add_subplot()
    places = range(len(data))
    axes.barh(places, data["value"], color=[color] + [f"{color}80"] * (len(data) - 1), height=0.6)
    errors = [(data["value"] - data["low"]).clip(lower=0), (data["high"] - data["value"]).clip(lower=0)]
    axes.errorbar(data["value"], places, xerr=errors, fmt="none", ecolor=INK, capsize=4, elinewidth=1.2)
    for place, value, high in zip(places, data["value"].astype(float), data["high"].astype(float), strict=True):
        axes.text(max(value, high) + 0.015, place, f"{value:.1%}", va="center", fontsize=10)
    axes.set_yticks(places, data["metric"])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.grid(axis="y", visible=False)
    axes.set_title(f"{model}: score with 95 % interval, {data['questions'].iloc[0]:,} questions")
    return figure


def latency_data(result: JobResult) -> pd.DataFrame:
    """quantity, value_s: one row per answer (e2e, TTFT) or per gap between tokens (ITL)."""
    rows = [
        (name, value)
        for quantity in quantities(result.records, result.probe)
        if (name := _DRAWN.get((quantity.name, quantity.window))) is not None
        for value in quantity.values_s
    ]
    return pd.DataFrame(rows, columns=["quantity", "value_s"])


def draw_latency(data: pd.DataFrame, model: str, color: str) -> Figure:
    """One histogram per quantity, median and 95th percentile marked (where enough values allow one)."""
    present = [name for name in _QUANTITIES if (data["quantity"] == name).any()]
    figure = new_figure(4.2 * len(present), 3.8)
    figure.suptitle(f"{model}: latency", x=0.01, ha="left", fontweight="bold")
    for number, name in enumerate(present):
        values = [float(value) for value in data.loc[data["quantity"] == name, "value_s"]]
        axes = figure.add_subplot(1, len(present), number + 1)
        axes.set_title(_QUANTITIES[name].replace(" (", "\n("), fontsize=9.5)
        _histogram(axes, name, values, color)
    return figure


def _histogram(axes: Axes, name: str, values: list[float], color: str) -> None:
    ordered = sorted(values)
    scale, unit = (1000.0, "ms") if ordered[len(ordered) // 2] < 0.5 else (1.0, "s")
    # A single outlier must not squeeze all others into one bar.
    top = ordered[int(0.99 * (len(ordered) - 1))] if len(ordered) >= 100 else ordered[-1]
    counts, _, _ = axes.hist(
        [min(value, top) * scale for value in values], bins=min(40, max(8, len(values) // 10)), color=color, alpha=0.85
    )
    for suffix, value in percentiles(values).items():
        if suffix in ("p50", "p95") and value is not None:
            style = "-" if suffix == "p50" else "--"
            axes.axvline(
                value * scale, color=INK, linestyle=style, label=f"{suffix} {number_label(value * scale)} {unit}"
            )
    axes.set_ylim(0, 1.25 * float(max(counts)))
    axes.set_xlabel(
        f"{name} ({unit}), n = {len(values):,}" + ("; top 1 % in the last bar" if top < ordered[-1] else "")
    )
    axes.set_ylabel("count")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=9, loc="upper center", ncols=2, frameon=True, edgecolor="white", framealpha=1)


def system_data(readings: Readings) -> pd.DataFrame:
    """One row per sampler reading: time_s since the first window opened, unix_ms, then every value by its name."""
    if not readings.samples:
        return pd.DataFrame()
    begin = min([w.start_s for w in readings.windows], default=readings.samples[0].time_s)
    rows = [{"time_s": s.time_s - begin, "unix_ms": s.unix_ms, **s.values} for s in readings.samples]
    return pd.DataFrame(rows)


def draw_system(data: pd.DataFrame, model: str, color: str, readings: Readings) -> Figure:
    """Power (or, without a power sensor, only load and memory) over time with the phases of the job behind it."""
    panels = _panels([str(name) for name in data.columns])
    has_power = "power (W)" in panels
    title = (
        "power, load and memory over time" if has_power else "load and memory over time; no power sensor was readable"
    )
    figure = new_figure(9, 1.4 + 1.9 * max(1, len(panels)))
    figure.suptitle(f"{model}: {title}", x=0.01, ha="left", fontweight="bold")
    shades = [color, "#374151", MUTED, "#9ca3af"]
    for number, (label, names) in enumerate(panels.items()):
        axes = figure.add_subplot(len(panels), 1, number + 1)
        for index, name in enumerate(names):
            # Not every reading has every series (the host is read less often): a line joins those that there are.
            series = data[["time_s", name]].dropna()
            axes.plot(series["time_s"], series[name], color=shades[index % 4], linewidth=1.4, label=_series_name(name))
        _phase_bands(axes, readings)
        axes.set_ylabel(label)
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
        axes.set_xlim(0, max(1e-3, float(data["time_s"].max())))
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8.5)
        if number == len(panels) - 1:
            axes.set_xlabel("seconds since the job's first phase began")
    phases = [
        Patch(color=_PHASES.get(w.name, _OTHER_PHASE), label=f"{w.name} {number_label(w.duration_s)} s")
        for w in readings.windows
    ]
    figure.legend(handles=phases, loc="outside lower left", ncols=5, fontsize=8.5)
    return figure


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    """Axis label -> series on it; the whole machine's memory is left out, it would dwarf the process."""
    endings = {
        "power (W)": ("_power_usage_watts", "_power_watts"),
        "load (%)": ("_utilization_percentage",),
        "memory (MB)": ("process_rss_megabytes", "_memory_usage_megabytes"),
    }
    found = {label: sorted(n for n in names if n.endswith(ends)) for label, ends in endings.items()}
    found["memory (MB)"] = [n for n in found["memory (MB)"] if "system_memory" not in n]
    return {label: series for label, series in found.items() if series}


def _series_name(name: str) -> str:
    """ "system/gpu_0_power_usage_watts" becomes "gpu 0 power"."""
    bare = name.removeprefix("system/")
    for ending in ("_usage_watts", "_watts", "_percentage", "_usage_megabytes", "_megabytes"):
        bare = bare.removesuffix(ending)
    return bare.replace("_", " ")


def _phase_bands(axes: Axes, readings: Readings) -> None:
    begin = min([w.start_s for w in readings.windows], default=0.0)
    for window in readings.windows:
        shade = _PHASES.get(window.name, _OTHER_PHASE)
        axes.axvspan(window.start_s - begin, window.end_s - begin, color=shade, alpha=0.6, linewidth=0)
