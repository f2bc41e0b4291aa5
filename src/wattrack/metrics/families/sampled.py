"""What the sampler read: power, load, clock and temperature."""

from dataclasses import dataclass
from typing import Literal

from wattrack.metrics.metric import Better, Metric


@dataclass(frozen=True, slots=True)
class Sampled:
    """Aggregates of one of the sampler's series over the generate window."""

    series: str
    """Pattern of the series' names, one for each GPU."""
    unit: str
    meaning: str
    kinds: tuple[str, ...] = ("mean", "p95", "peak")
    """Of mean, min, p95 and peak over time."""
    of_gpus: Literal["sum", "min", "max"] = "sum"
    """How the GPUs' values of one moment become one."""
    better: Better = "lower"


LOADS: dict[str, Sampled] = {
    "power/gpu_{}_w": Sampled(r"system/gpu_\d+_power_usage_watts", "W", "power of all GPUs in scope"),
    "load/gpu_{}_percent": Sampled(
        r"system/gpu_\d+_utilization_percentage", "%", "utilisation summed over the GPUs in scope"
    ),
    "load/cpu_{}_percent": Sampled(r"system/cpu_utilization_percentage", "%", "utilisation of the machine's processor"),
    "gpu/sm_clock_mhz_{}": Sampled(
        r"system/gpu_\d+_sm_clock_mhz", "MHz", "SM clock of the slowest GPU in scope", ("mean", "min"), "min", "higher"
    ),
    "gpu/temperature_celsius_{}": Sampled(
        r"system/gpu_\d+_temperature_celsius", "degC", "temperature of the hottest GPU in scope", ("peak",), "max"
    ),
}
"""Name pattern -> what it aggregates."""

_SERIES = "the plot `system` and the view `Over questions` draw the series that it is taken of"
_IDLE = "it belongs to the machine, not to the job; the idle phase is in tables/phases.json of the run"

ROWS = {
    **{
        name.format(kind): Metric(load.unit, load.better, f"{kind} of sampled {load.meaning}", not_shown=_SERIES)
        for name, load in LOADS.items()
        for kind in load.kinds
    },
    "power/gpu_idle_w": Metric("W", "lower", "all GPUs in scope, before the model loaded", not_shown=_IDLE),
    "power/cpu_idle_w": Metric("W", "lower", "processor (RAPL), before the model loaded", not_shown=_IDLE),
}
