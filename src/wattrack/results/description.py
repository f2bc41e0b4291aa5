"""The description of a run, for people: headline numbers, how each was obtained, what is missing and why. Pure."""

from collections.abc import Mapping, Sequence

from wattrack.metrics.rows import METRICS, shown_in
from wattrack.metrics.shown import Description
from wattrack.results.conditions import CONTENDED
from wattrack.results.footprint import basis
from wattrack.results.plausibility import Check
from wattrack.results.stated import as_tag
from wattrack.results.tables import number, score
from wattrack.schema import CarbonReading, DatasetFacts, Readings

_FEWEST = 20
"""Distinct questions below which a score says little: one answer moves it by more than 5 points."""


def source_tags(readings: Readings) -> dict[str, str]:
    """`energy.source.<part>`, one line with all, `energy.flags`, and `energy.basis`: what CO2e and cost rest on."""
    window = readings.window("generate")
    parts: dict[str, str] = {name: part.source for name, part in window.energy.items()} if window else {}
    if readings.carbon is not None:
        parts["codecarbon"] = _carbon_source(readings.carbon)
    tags = {f"energy.source.{name}": source for name, source in parts.items()}
    if (billed := basis(readings)) is not None:
        tags["energy.basis"] = billed
    tags["energy.sources"] = ", ".join(f"{name} {source}" for name, source in parts.items()) or "none"
    flags = [f"{name} {flag}" for name, part in (window.energy.items() if window else ()) for flag in part.flags]
    flags += [f"codecarbon {flag}" for flag in (readings.carbon.flags if readings.carbon is not None else ())]
    if contended := _contended(readings):
        tags[CONTENDED] = as_tag(contended)
    tags["energy.flags"] = ", ".join(flags) or "none"
    return tags


def _contended(readings: Readings) -> list[str]:
    """The windows beside which another job ran, and "job" for the whole; empty for a job that had the machine alone."""
    windows = [*readings.windows, *([readings.job] if readings.job is not None else [])]
    names = [w.name for w in windows if any("contended" in part.flags for part in w.energy.values())]
    if readings.carbon is not None and "contended" in readings.carbon.flags:
        names.append("job")
    return list(dict.fromkeys(names))


def _carbon_source(carbon: CarbonReading) -> str:
    """Of codecarbon's total, which holds its memory model in every case; `energy.basis` has the parts."""
    read = {carbon.cpu_source, carbon.gpu_source} & {"measured", "sampled"}
    return "partly modelled" if read else "modelled"


def too_few(metrics: Mapping[str, float | None], dataset: DatasetFacts) -> list[str]:
    """A line where the score rests on too few distinct questions; repeats make them no more."""
    n = metrics.get("quality/score_n")
    n = dataset.rows if n is None else n
    return [f"**{n:.0f} distinct questions are too few to rank models.**"] if n < _FEWEST else []


def describe(
    name: str,
    metrics: Mapping[str, float | None],
    readings: Readings,
    dataset: DatasetFacts,
    engine: Mapping[str, object],
    checks: Sequence[Check] = (),
) -> str:
    """Markdown of at most a screen or two."""
    n, random = metrics.get("quality/n"), engine.get("model/weights") == "random"
    lines = [
        f"### {name}: {score(metrics)}",
        "",
        *(["**Random weights: speed, memory and energy only; no answer is scored.**", ""] if random else []),
        f"{number(n)} answers to {dataset.rows} questions of `{dataset.protocol}` from `{dataset.source}`; "
        "95 % Wilson interval.",
        *too_few(metrics, dataset),
        "",
        "| metric | value | unit | how |",
        "|---|---|---|---|",
    ]
    for key in shown_in(Description):
        if (value := metrics.get(key)) is not None:
            unit, meaning = METRICS[key].unit, METRICS[key].meaning
            lines.append(f"| `{key}` | {number(value)} | {unit} | {meaning} |")
    lines += ["", "**Energy**", *_energy_lines(readings)]
    if metrics.get("carbon/co2e_g") is None and metrics.get("carbon/measured_co2e_g") is None:
        lines.append("- CO2: no carbon intensity is configured (hardware.carbon_intensity_g_per_kwh), so no figure")
    if readings.job is not None and readings.job.earlier_s > 0:
        lines += ["", "**Continued**: time, tokens and energy are sums over every process that worked on this run."]
    if checks:
        known = [c for c in checks if c.status != "not checked"]
        lines += ["", f"**Plausibility** ({len(known)} of {len(checks)} checks possible here)"]
        lines += [f"- {'**failed**' if c.status == 'failed' else 'ok'} {c.name}: {c.text}" for c in known]
    if readings.unavailable:
        lines += ["", "**Not measured on this machine**"]
        lines += [f"- {meter}: {reason}" for meter, reason in readings.unavailable.items()]
    fallbacks = engine.get("effective/fallbacks")
    if fallbacks and fallbacks != "none":
        lines += ["", f"**Settings that could not be honoured**: {fallbacks}"]
    return "\n".join(lines)[:7900]


def _energy_lines(readings: Readings) -> list[str]:
    window = readings.window("generate")
    lines = [
        f"- {part}: {reading.source}" + (f" ({reading.detail})" if reading.detail else "")
        for part, reading in (window.energy.items() if window else ())
    ]
    if readings.carbon is not None:
        lines.append(f"- codecarbon, whole job: {readings.carbon.detail}")
    return lines
