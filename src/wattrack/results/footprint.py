"""What a job used: energy by part, what it was above idle, CO2e and money. Pure; every key is in METRICS.

Measured figures (counters, integrated sensors) and modelled ones never enter the same sum, except in codecarbon's own
total, which says so. 1 kWh = 3.6e6 J.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from wattrack.intervals import ratio
from wattrack.schema import Energy, Readings, SystemSample, Window

Metrics = dict[str, float | None]

WH_J = 3600.0
"""Joules in a watt-hour."""
_KWH_WH = 1000.0

IDLE_MIN_S = 5.0
"""An idle stretch shorter than this says nothing: sensors average over up to a second and counters tick."""
_IDLE_SPREAD = 0.10
_IDLE_DRIFT_C = 5.0
"""Above this relative deviation of power, or this change of temperature, the machine was not idle."""
_POWER = r"system/(gpu_\d+|cpu|dram)_power_usage_watts"
_TEMPERATURE = r"system/gpu_\d+_temperature_celsius"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What only the owner of the machine knows; None = not configured, and then nothing is computed from it."""

    hourly_usd: float | None = None
    """US dollars that an hour of this machine costs."""
    usd_per_kwh: float | None = None
    """Tariff of electricity."""
    carbon_g_per_kwh: float | None = None
    pue: float = 1.0
    """Facility power / machine power; enters CO2e and the price of energy, never an energy."""


def energy(readings: Readings) -> Metrics:
    """Measured energy of the generate window by part, of the whole job, above idle; codecarbon's beside it."""
    window = readings.window("generate")
    wh = {name: _measured_wh(part) for name, part in (window.energy if window else {}).items()}
    carbon = readings.carbon
    modelled = []
    if carbon is not None:
        modelled = [carbon.ram_wh, *([carbon.cpu_wh] if carbon.cpu_source == "modelled" else [])]
    return {
        "energy/measured_wh": measured_wh(window),
        "energy/job_wh": measured_wh(readings.job),
        "energy/gpu_wh": wh.get("gpu"),
        **cross_check(window.energy.get("gpu") if window else None),
        "energy/cpu_wh": wh.get("cpu"),
        "energy/dram_wh": wh.get("dram"),
        "energy/modelled_wh": math.fsum(modelled) if modelled else None,
        "energy/codecarbon_wh": carbon.energy_wh if carbon else None,
        "energy/codecarbon_difference_percent": codecarbon_difference_percent(readings),
        **idle(readings),
    }


def measured_wh(window: Window | None) -> float | None:
    """Sum over the parts that counters or sensors read; None when none did."""
    parts = window.energy.values() if window else ()
    known = [wh for part in parts if (wh := _measured_wh(part)) is not None]
    return math.fsum(known) if known else None


def _measured_wh(part: Energy) -> float | None:
    if part.joules is None or part.source not in ("measured", "sampled"):
        return None
    return part.joules / WH_J


def cross_check(gpu: Energy | None) -> Metrics:
    """The GPU's energy by the other method, how far the two are apart, and the error to expect."""
    if gpu is None or _measured_wh(gpu) is None:
        return {}
    integrated_j, counted_j = gpu.cross_check_j, gpu.joules
    apart = ratio(100.0 * (integrated_j - counted_j), counted_j) if integrated_j is not None and counted_j else None
    return {
        "energy/gpu_integrated_wh": ratio(integrated_j, WH_J),
        "energy/gpu_difference_percent": apart,
        "energy/gpu_error_bound_wh": ratio(gpu.bound_j, WH_J),
    }


def codecarbon_difference_percent(readings: Readings) -> float | None:
    """(codecarbon's mean power / ours - 1) x 100 over the job, of the parts that both measured; None without any.

    Mean power, because codecarbon starts a moment before our meters and ends a moment after.
    """
    carbon, job = readings.carbon, readings.job
    if carbon is None or job is None:
        return None
    theirs = {
        "gpu": carbon.gpu_wh if carbon.gpu_source in ("measured", "sampled") else None,
        "cpu": carbon.cpu_wh if carbon.cpu_source == "measured" else None,
    }
    ours = {name: _measured_wh(part) for name, part in job.energy.items()}
    pairs = [(t, o) for name, t in theirs.items() if t is not None and (o := ours.get(name)) is not None]
    quotient = ratio(
        ratio(math.fsum(t for t, _ in pairs), carbon.duration_s), ratio(math.fsum(o for _, o in pairs), job.duration_s)
    )
    return 100.0 * (quotient - 1.0) if quotient is not None else None


def idle(readings: Readings) -> Metrics:
    """Power before the model loaded, and what the generate window drew above it; empty unless it was measured.

    The difference is withheld when the machine was not idle or not long enough; the gross figures stay the headline.
    """
    window, generate = readings.window("idle"), readings.window("generate")
    if window is None:
        return {}
    watts = {name: ratio(part.joules, window.duration_s) for name, part in window.energy.items()}
    found: Metrics = {"power/gpu_idle_w": watts.get("gpu"), "power/cpu_idle_w": watts.get("cpu")}
    if generate is not None and window.duration_s >= IDLE_MIN_S and _steady(readings.samples, window):
        above_j = [
            part.joules - watt * generate.duration_s
            for name, part in generate.energy.items()
            if part.joules is not None and (watt := watts.get(name)) is not None
        ]
        found["energy/above_idle_wh"] = math.fsum(above_j) / WH_J if above_j else None
    return found


def _steady(samples: Sequence[SystemSample], window: Window) -> bool:
    inside = [s.values for s in samples if window.start_s <= s.time_s <= window.end_s]
    watts = [
        math.fsum(v for k, v in values.items() if re.fullmatch(_POWER, k))
        for values in inside
        if any(re.fullmatch(_POWER, k) for k in values)
    ]
    celsius: dict[str, list[float]] = {}
    for values in inside:
        for name, value in values.items():
            if re.fullmatch(_TEMPERATURE, name):
                celsius.setdefault(name, []).append(value)
    drift = max((max(series) - min(series) for series in celsius.values()), default=0.0)
    return len(watts) > 1 and stdev(watts) < _IDLE_SPREAD * fmean(watts) and drift <= _IDLE_DRIFT_C


def cost(metrics: Mapping[str, float | None], readings: Readings, prices: Prices, correct: float) -> Metrics:
    """CO2e and money of the whole job; each absent unless what it needs is configured and known.

    `correct` is the sum of the scores.

    Energy is billed by codecarbon's total, the only estimate of the whole machine, or, without codecarbon, by what was
    measured; `basis` says which. Configuring both a rent and a tariff adds the two.
    """
    billed_wh = readings.carbon.energy_wh if readings.carbon is not None else metrics.get("energy/job_wh")
    rental = _times(ratio(metrics.get("time/total_s"), 3600.0), prices.hourly_usd)
    power = _times(_facility_kwh(billed_wh, prices), prices.usd_per_kwh)
    parts = [part for part in (rental, power) if part is not None]
    usd = math.fsum(parts) if parts else None
    return {
        "carbon/co2e_g": _times(
            _facility_kwh(readings.carbon.energy_wh if readings.carbon else None, prices), prices.carbon_g_per_kwh
        ),
        "carbon/measured_co2e_g": _times(_facility_kwh(metrics.get("energy/job_wh"), prices), prices.carbon_g_per_kwh),
        "cost/rental_usd": rental,
        "cost/energy_usd": power,
        "cost/usd": usd,
        "cost/usd_per_1k_correct": _times(ratio(usd, correct), 1e3),
        "cost/usd_per_1m_output_tokens": _times(ratio(usd, metrics.get("tokens/output")), 1e6),
    }


def _facility_kwh(wh: float | None, prices: Prices) -> float | None:
    return None if wh is None else wh / _KWH_WH * prices.pue


def _times(value: float | None, factor: float | None) -> float | None:
    return value * factor if value is not None and factor is not None else None


def basis(readings: Readings) -> str | None:
    """How the energy behind CO2e and the price of energy was obtained, part by part; None when there is none."""
    carbon = readings.carbon
    if carbon is not None:
        gpu = f", gpu {carbon.gpu_source}" if carbon.gpu_wh is not None else ""
        return f"codecarbon: cpu {carbon.cpu_source}, ram modelled{gpu}{_beside(carbon.flags)}"
    parts = readings.job.energy if readings.job is not None else {}
    known = [f"{name} {part.source}" for name, part in parts.items() if part.joules is not None]
    flags = [flag for part in parts.values() for flag in part.flags]
    return f"meters: {', '.join(known)}{_beside(flags)}" if known else None


def _beside(flags: Sequence[str]) -> str:
    return ", contended" if "contended" in flags else ""


def without_gpu(readings: Readings) -> Readings:
    """The readings of a job whose model ran on the CPU: a GPU that only stood by is not part of it."""
    carbon = readings.carbon
    if carbon is not None and carbon.gpu_wh is not None:
        carbon = replace(carbon, energy_wh=carbon.energy_wh - carbon.gpu_wh, gpu_wh=None, gpu_source="unavailable")
    return replace(
        readings,
        windows=tuple(_gpu_stood_by(window) for window in readings.windows),
        samples=tuple(
            replace(s, values={k: v for k, v in s.values.items() if not k.startswith("system/gpu_")})
            for s in readings.samples
        ),
        carbon=carbon,
        job=_gpu_stood_by(readings.job) if readings.job is not None else None,
    )


def _gpu_stood_by(window: Window) -> Window:
    stood_by = Energy(joules=None, source="unavailable", detail="the model ran on the CPU: the GPU is not in scope")
    return replace(
        window,
        energy={k: stood_by if k == "gpu" else v for k, v in window.energy.items()},
        peaks={k: v for k, v in window.peaks.items() if "vram" not in k},
    )


def without_machine(readings: Readings) -> Readings:
    """The readings of a job whose model ran on another machine: what this one used is not the model's energy."""
    return replace(
        readings,
        windows=tuple(_machine_stood_by(window) for window in readings.windows),
        samples=(),
        carbon=None,
        job=_machine_stood_by(readings.job) if readings.job is not None else None,
        unavailable={**readings.unavailable, "energy and memory": "the model runs elsewhere; this machine only asks"},
    )


def _machine_stood_by(window: Window) -> Window:
    elsewhere = Energy(joules=None, source="unavailable", detail="the model runs elsewhere: this machine only asks")
    return replace(window, energy=dict.fromkeys(window.energy, elsewhere), peaks={})
