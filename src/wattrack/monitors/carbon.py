"""codecarbon's own figures for a whole job, as an independent cross-check of ours.

Covers: processor (RAPL where readable, else codecarbon's load model), memory (codecarbon's constant per
module) and the GPUs in scope, from `open` to `close`, for the whole machine, offline.
Does not cover: phases (its task interface loses energy, so it is not used), other parts of the machine,
CO2e (its tables guess a country; `footprint.cost` takes the configured intensity), embodied carbon.
Resolution: one measurement per second; up to the last 50 ms may be missing. The first tracker of a process
probes the processor for more than a second, mostly waiting for other programs: `prepare` does that ahead.

codecarbon suppresses its own exceptions and keeps what it measured in private fields; everything that
depends on that is in this file and pinned by a test. Nothing is written to disk and nothing goes over the
network.
"""

import inspect
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wattrack.monitors import running
from wattrack.monitors.nvml import gpu_indices
from wattrack.monitors.rapl import readable
from wattrack.schema import CarbonReading, EnergySource

log = logging.getLogger(__name__)

_SUPPRESSED = "it suppresses its own errors; set CODECARBON_LOG_LEVEL=debug to see them"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Provenance:
    """How codecarbon measured; only its private fields tell."""

    cpu_source: EnergySource
    gpu_source: EnergySource
    gpu_seen: bool
    detail: str


class CarbonMeter:
    """One `OfflineEmissionsTracker` from `open` to `close`. Neither raises: `reason` says why nothing came.

    `gpu_ids` are NVML indices; None = those that CUDA_VISIBLE_DEVICES shows, empty = no GPU in scope. `neighbours`
    counts the jobs beside this one: the reading is of the whole machine and then flagged `contended`.
    """

    def __init__(
        self,
        *,
        country_iso_code: str | None,
        cpu_tdp_w: float | None,
        ram_w: float | None,
        gpu_ids: Sequence[int] | None,
        neighbours: running.Neighbours = running.alone,
    ) -> None:
        self._country = country_iso_code
        self._cpu_tdp_w = cpu_tdp_w
        self._ram_w = ram_w
        self._asked_gpu_ids = None if gpu_ids is None else tuple(gpu_ids)
        self._gpu_ids: list[int] = []
        self._neighbours = neighbours
        self._opened_unix_s = 0.0
        self._tracker: Any = None
        self._reading: CarbonReading | None = None
        self.reason: str | None = "codecarbon was not started"
        """Why `close` gives no reading; None once it has given one."""

    def prepare(self) -> None:
        """Probe the hardware once, for every later tracker of this process (codecarbon caches it). Never raises."""
        try:
            tracker_class = _tracker_class()
        except ImportError:
            return  # `open` says so
        self._build(tracker_class)
        _mute()

    def open(self) -> None:
        """Start tracking. Call before the model is loaded, so that its start-up cost is in no window."""
        if self._tracker is not None:
            return
        try:
            tracker_class = _tracker_class()
        except ImportError as e:
            self.reason = f"codecarbon cannot be imported: {e}; pip install codecarbon"
            return
        tracker = self._build(tracker_class)
        self._opened_unix_s = time.time()
        tracker.start()
        _mute()
        if getattr(tracker, "_start_time", None) is None:
            self.reason = f"codecarbon did not start ({_SUPPRESSED})"
            log.warning("no codecarbon figures in this job: %s", self.reason)
            tracker.stop()
            return
        self.reason = "codecarbon is running"
        self._tracker = tracker

    def close(self) -> CarbonReading | None:
        """Stop and read. Idempotent: later calls give the same reading."""
        tracker, self._tracker = self._tracker, None
        if tracker is None:
            return self._reading
        tracker.stop()
        data = getattr(tracker, "final_emissions_data", None)
        if data is None or not data.duration > 0:
            self.reason = f"codecarbon stopped without a result ({_SUPPRESSED})"
        elif not data.cpu_energy + data.ram_energy > 0:
            self.reason = f"codecarbon measured nothing in {data.duration:.2f} s"
        else:
            self.reason = None
            self._reading = self._read(data, _provenance(tracker, self._gpu_ids))
        return self._reading

    def _build(self, tracker_class: Any) -> Any:
        self._gpu_ids = gpu_indices() if self._asked_gpu_ids is None else list(self._asked_gpu_ids)
        known = _parameters(tracker_class)
        return tracker_class(**{k: v for k, v in self._arguments().items() if k in known})

    def _read(self, data: Any, provenance: _Provenance) -> CarbonReading:
        gpu_wh = 1000.0 * data.gpu_energy if provenance.gpu_seen and data.gpu_energy > 0 else None
        energy_wh = 1000.0 * (data.cpu_energy + data.ram_energy) + (gpu_wh or 0.0)
        detail = f"{provenance.detail}; RAM model {data.ram_power:.3g} W"
        if self._gpu_ids and gpu_wh is None:
            detail += "; codecarbon read no energy from the GPUs in scope"
        return CarbonReading(
            energy_wh=energy_wh,
            cpu_wh=1000.0 * data.cpu_energy,
            ram_wh=1000.0 * data.ram_energy,
            gpu_wh=gpu_wh,
            duration_s=data.duration,
            cpu_source=provenance.cpu_source,
            gpu_source=provenance.gpu_source if gpu_wh is not None else "unavailable",
            detail=detail,
            flags=("contended",) if self._neighbours(self._opened_unix_s, time.time()) else (),
        )

    def _arguments(self) -> dict[str, Any]:
        """Every argument: any that is left out would be filled from the user's files and environment.

        Deprecated aliases are the exception (passing them warns); `output_methods` and the empty token disarm
        them.
        """
        forced_cpu_w = None if self._cpu_tdp_w is None or readable() else float(self._cpu_tdp_w)
        return {
            "project_name": "wattrack",
            "measure_power_secs": 1.0,
            "tracking_mode": "machine",
            "log_level": "critical",
            "logger_preamble": "",
            "allow_multiple_runs": True,
            "gpu_ids": list(self._gpu_ids),
            "force_cpu_power": forced_cpu_w,
            "force_ram_power": None if self._ram_w is None else float(self._ram_w),
            "force_mode_cpu_load": False,
            "rapl_include_dram": False,
            "rapl_prefer_psys": False,
            "pue": 1.0,  # applied once, by `footprint.cost`
            "wue": 0.0,
            # Its emissions are not used. Any number here keeps it from looking one up, in tables or online.
            "force_carbon_intensity_g_co2e_kwh": 0.0,
            "country_iso_code": self._country,
            "country_2letter_iso_code": None,
            "region": None,
            "cloud_provider": None,
            "cloud_region": None,
            "electricitymaps_api_token": "",
            "output_methods": [],
            "output_handlers": [],
            "output_dir": ".",
            "output_file": "emissions.csv",
            "on_csv_write": "append",
            "logging_logger": None,
            "prometheus_url": None,
            "emissions_endpoint": None,
            "api_call_interval": -1,
            "api_endpoint": None,
            "api_key": None,
            "experiment_id": None,
            "experiment_name": None,
            "metadata": None,
        }


def _tracker_class() -> Any:
    """Import codecarbon silently: it sets up its logger on import, before any argument can say otherwise."""
    before = os.environ.get("CODECARBON_LOG_LEVEL")
    os.environ["CODECARBON_LOG_LEVEL"] = before or "critical"
    try:
        from codecarbon import OfflineEmissionsTracker
    finally:
        if before is None:
            del os.environ["CODECARBON_LOG_LEVEL"]
    _mute()
    return OfflineEmissionsTracker


def _parameters(tracker_class: Any) -> set[str]:
    """Arguments of the installed version: an unknown one would break it silently."""
    return {name for c in tracker_class.__mro__ for name in inspect.signature(c.__init__).parameters}


def _mute() -> None:
    """Its records carry nothing that the reading does not say."""
    if "CODECARBON_LOG_LEVEL" not in os.environ:
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL + 1)


def _provenance(tracker: Any, gpu_ids: Sequence[int]) -> _Provenance:
    """Read codecarbon's private hardware list (3.3 layout); with another layout the cautious labels stay."""
    cpu_source: EnergySource = "modelled"
    gpu_source: EnergySource = "unavailable"
    gpu_seen = False
    detail = "CPU method unknown"
    try:
        for part in tracker._hardware:
            kind = type(part).__name__
            if kind == "CPU" and part._mode == "intel_rapl":
                cpu_source, detail = "measured", "CPU RAPL"
            elif kind == "CPU":
                mode = part._mode.removeprefix("cpu_").replace("_", " ")
                origin = "codecarbon's guess" if tracker._force_cpu_power is None else "configured"
                detail = f"CPU {mode} model, TDP {part._tdp:g} W ({origin})"
            elif kind == "GPU" and gpu_ids:
                devices = [d for d in part.devices.devices if d.gpu_index in gpu_ids]
                gpu_seen = set(part.gpu_ids) == set(gpu_ids) and len(devices) == len(set(gpu_ids))
                counted = all(d._has_counter and not d._use_power_fallback for d in devices)
                gpu_source = "measured" if counted else "sampled"
    except (AttributeError, TypeError) as e:
        log.warning("this codecarbon keeps its hardware list differently (%s): labelled as modelled", e)
        cpu_source, gpu_source, gpu_seen = "modelled", "unavailable", False
    return _Provenance(cpu_source=cpu_source, gpu_source=gpu_source, gpu_seen=gpu_seen, detail=detail)
