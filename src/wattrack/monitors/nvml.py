"""Energy, power, memory and load of NVIDIA GPUs, through NVML.

Covers: whole boards (chip and memory) of the GPUs named by CUDA_VISIBLE_DEVICES, every process on them; device memory
of this process tree as well, where its process numbers are the driver's.
Energy from the board's counter where it exists (Volta and later), else from integrated power samples.
Does not cover: one process's share, the rest of the machine, or power of a MIG slice: then the figure is
the whole parent GPU's and the fact `gpu.scope` says `parent_gpu`. Utilisation is the share of time with
any kernel running, not how busy the chip was.
Resolution: the counter ticks about every `TICK_S` and the sensor is good to +-5 %, so a window has an
error bound (`Energy.bound_j`) of P x tick + 5 % E; GPU windows below `SHORT_WINDOW_S` are flagged.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from wattrack.errors import MonitorError
from wattrack.monitors import gpu_facts, torch_peaks
from wattrack.monitors.gpu_energy import Counter, Mark, over_window, total
from wattrack.monitors.gpu_facts import read, text
from wattrack.monitors.gpu_processes import users
from wattrack.monitors.visible import Chosen, Gpu, resolve
from wattrack.schema import Energy, EnergyFlag

log = logging.getLogger(__name__)

T = TypeVar("T")
_GIB = 2**30
_THROTTLES = {
    0x8: "hardware slowdown",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
}
_POWER_CAP = 0x4
"""Running at the power limit is what a busy GPU does, so it is a note and no throttling."""
LIST_PROCESSES_EVERY_S = 0.5
"""Listing them is slower than reading a sensor, and they come and go slowly."""


class _Device:
    """One physical GPU in scope, with the slices of it that are in scope."""

    def __init__(self, index: int, handle: Any, memory_handles: list[Any]) -> None:
        self.index = index
        self.handle = handle
        self.memory_handles = memory_handles
        self.counter = Counter()
        self.memory_at_open_bytes: int | None = None
        """Device memory in use before this job's model was loaded."""
        self.memory_bytes: int | None = None
        self.memory_peak_bytes = self.memory_size_bytes = 0
        self.own_peak_bytes: int | None = None
        """Highest memory of this process tree in the window; None when it could not be told."""
        self.throttle_mask = 0
        self.unsupported: set[str] = set()
        """Readings that this device said it does not have; not asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    marks: Mapping[int, Mark]
    others: int
    """Processes that are not ours, at the opening edge."""


class NvmlMonitor:
    """NVML over the GPUs in `visible_devices`, a value of CUDA_VISIBLE_DEVICES; None = the environment's."""

    name = "nvml"

    def __init__(self, visible_devices: str | None = None) -> None:
        self._visible = visible_devices
        self._nvml: Any = None
        self._devices: list[_Device] = []
        self._parent_scope = False
        self._others_at_open = self._others = self._others_peak = 0
        """Processes of others: as the job began, in the latest list, and in the longest list since `begin`."""
        self._list_at_s = float("-inf")

    def open(self) -> None:
        """Start NVML and find the GPUs in scope."""
        nvml = self._nvml = _start()
        try:
            chosen = _chosen(nvml, self._visible)
            if not chosen:
                raise MonitorError("no GPU in scope (CUDA_VISIBLE_DEVICES hides all of them, or names none that exist)")
            for index in dict.fromkeys(c.index for c in chosen):
                self._devices.append(_device(nvml, index, [c for c in chosen if c.index == index]))
            self._parent_scope = any(_slices(nvml, d.handle) for d in self._devices)
        except nvml.NVMLError as e:
            self.close()
            raise MonitorError(f"NVML found the driver but not its GPUs: {e}") from e
        except MonitorError:
            self.close()
            raise
        for device in self._devices:
            self._energy(device)
            self._memory(device)
            device.memory_at_open_bytes = device.memory_bytes
        self._others_at_open = self._list_processes()

    def begin(self) -> object:
        """Counters and power now; starts new memory peaks."""
        for device in self._devices:
            device.memory_peak_bytes = device.throttle_mask = 0
            device.own_peak_bytes = None
        self._others_peak = 0
        marks = {d.index: self._energy(d) for d in self._devices}
        for device in self._devices:
            self._memory(device)
        return _Edge(marks=marks, others=self._list_processes())

    def end(self, state: object) -> tuple[Mapping[str, Energy], Mapping[str, float]]:
        """GPU energy, and the sums over GPUs of the highest memory use seen since `state`."""
        assert isinstance(state, _Edge)
        parts = {d.index: over_window(state.marks[d.index], self._energy(d)) for d in self._devices}
        for device in self._devices:
            self._memory(device)
        notes, flags = self._state(state.others, self._list_processes())
        return {"gpu": total(parts, notes, flags)}, self._peaks()

    def peaks_since(self, state: object) -> Mapping[str, float]:
        """The peaks so far, as of the latest sample."""
        return self._peaks()

    def sample(self) -> Mapping[str, float]:
        """Power, memory, load, temperature and clock of every GPU in scope."""
        values: dict[str, float] = {}
        for device in self._devices:
            watts = self._energy(device).watts
            readings = {
                "power_usage_watts": watts,
                **self._memory(device),
                "utilization_percentage": self._utilisation(device),
                "temperature_celsius": self._temperature(device),
                "sm_clock_mhz": self._clock(device),
            }
            self._throttling(device)
            values |= {f"system/gpu_{device.index}_{k}": v for k, v in readings.items() if v is not None}
        if time.perf_counter() >= self._list_at_s:
            self._list_processes()
        return values

    def energy_since(self, state: object) -> Mapping[str, Energy]:
        """GPU energy since `state`, from the latest readings, with the notes and flags that `end` would give."""
        assert isinstance(state, _Edge)
        shares = {d.index: over_window(state.marks[d.index], d.counter.mark) for d in self._devices}
        notes, flags = self._state(state.others, self._others)
        return {"gpu": total(shares, notes, flags)}

    def facts(self) -> Mapping[str, str]:
        """Names, driver, limits and the method in use."""
        if not self._devices:
            return {}
        devices = self._devices
        counters = all(d.counter.mark.millijoules is not None for d in devices)
        baseline = self._memory_at_open_bytes()
        facts = {
            **gpu_facts.describe(self._nvml, [d.handle for d in devices]),
            "gpu.count": str(len(devices)),
            "gpu.indices": ",".join(str(d.index) for d in devices),
            "gpu.other_processes_at_start": str(self._others_at_open or ""),
            "gpu.memory_at_start_gib": "" if baseline is None else f"{baseline / _GIB:.3g}",
            "gpu.scope": "parent_gpu" if self._parent_scope else "gpu",
            "gpu.method": "counter" if counters else "power",
        }
        return {key: value for key, value in facts.items() if value}

    def close(self) -> None:
        """Release NVML."""
        nvml, self._nvml, self._devices = self._nvml, None, []
        if nvml is not None:
            read(nvml, nvml.nvmlShutdown)

    def _get(self, device: _Device, what: str, call: Callable[..., T], *arguments: object) -> T | None:
        """One reading, or None. "Not supported" is remembered; others are tried again."""
        if what in device.unsupported:
            return None
        try:
            return call(*arguments)
        except self._nvml.NVMLError as e:
            device.counter.reasons[what] = f"{what}: {e}"
            if e.value in (self._nvml.NVML_ERROR_NOT_SUPPORTED, self._nvml.NVML_ERROR_FUNCTION_NOT_FOUND):
                device.unsupported.add(what)
            return None

    def _energy(self, device: _Device) -> Mark:
        watts = self._watts(device)
        counter = self._nvml.nvmlDeviceGetTotalEnergyConsumption
        millijoules: int | None = self._get(device, "energy counter", counter, device.handle)
        return device.counter.add(time.perf_counter(), millijoules, watts)

    def _watts(self, device: _Device) -> float | None:
        nvml = self._nvml
        milliwatts = self._get(device, "instant power", _instant_milliwatts, nvml, device.handle)
        if milliwatts is None:
            milliwatts = self._get(device, "power", nvml.nvmlDeviceGetPowerUsage, device.handle)
        return None if milliwatts is None else milliwatts / 1000.0

    def _memory(self, device: _Device) -> dict[str, float | None]:
        nvml, used, size = self._nvml, 0, 0
        for handle in device.memory_handles:
            call = nvml.nvmlDeviceGetMemoryInfo
            info = self._get(device, "memory v2", call, handle, nvml.nvmlMemory_v2)
            info = info or self._get(device, "memory", call, handle)
            if info is None:
                return {}
            used, size = used + int(info.used), size + int(info.total)
        device.memory_bytes, device.memory_size_bytes = used, size
        device.memory_peak_bytes = max(device.memory_peak_bytes, used)
        percent = 100.0 * used / size if size else None
        return {"memory_usage_megabytes": used / 1e6, "memory_usage_percentage": percent}

    def _utilisation(self, device: _Device) -> float | None:
        rates = self._get(device, "utilisation", self._nvml.nvmlDeviceGetUtilizationRates, device.handle)
        return None if rates is None else float(rates.gpu)

    def _temperature(self, device: _Device) -> float | None:
        nvml, sensor = self._nvml, self._nvml.NVML_TEMPERATURE_GPU
        celsius = self._get(device, "temperature", nvml.nvmlDeviceGetTemperatureV, device.handle, sensor)
        if celsius is None:
            celsius = self._get(device, "old temperature", nvml.nvmlDeviceGetTemperature, device.handle, sensor)
        return None if celsius is None else float(celsius)

    def _clock(self, device: _Device) -> float | None:
        nvml = self._nvml
        mhz = self._get(device, "clock", nvml.nvmlDeviceGetClockInfo, device.handle, nvml.NVML_CLOCK_SM)
        return None if mhz is None else float(mhz)

    def _throttling(self, device: _Device) -> None:
        call = self._nvml.nvmlDeviceGetCurrentClocksEventReasons
        device.throttle_mask |= int(self._get(device, "throttling", call, device.handle) or 0)

    def _list_processes(self) -> int:
        """Look who computes on these GPUs; updates the window's peaks. Returns the number of others' processes."""
        others = 0
        call, computing = self._nvml.nvmlDeviceGetComputeRunningProcesses, torch_peaks.in_use()
        for device in self._devices:
            for handle in device.memory_handles:
                listed = self._get(device, "processes", call, handle)
                if listed is None:
                    continue
                seen = users(listed, computing=computing)
                others += seen.others
                if seen.own_bytes is not None:
                    device.own_peak_bytes = max(device.own_peak_bytes or 0, seen.own_bytes)
        self._list_at_s = time.perf_counter() + LIST_PROCESSES_EVERY_S
        self._others, self._others_peak = others, max(self._others_peak, others)
        return others

    def _memory_at_open_bytes(self) -> int | None:
        known = [d.memory_at_open_bytes for d in self._devices if d.memory_at_open_bytes is not None]
        return sum(known) if len(known) == len(self._devices) else None

    def _peaks(self) -> dict[str, float]:
        """What could be read on every GPU, in GiB; each GPU's own peak beside the sums."""
        peaks = [d.memory_peak_bytes for d in self._devices]
        own = [d.own_peak_bytes for d in self._devices if d.own_peak_bytes is not None]
        baseline = self._memory_at_open_bytes()
        found = {
            f"gpu_{d.index}/memory_peak_gib": d.memory_peak_bytes / _GIB for d in self._devices if d.memory_peak_bytes
        }
        if all(peaks):
            found["memory/vram_peak_gib"] = sum(peaks) / _GIB
            if size := sum(d.memory_size_bytes for d in self._devices):
                found["memory/vram_occupancy_percent"] = 100 * sum(peaks) / size
            # Less than at the start means that someone else left: what we added is then unknown.
            if baseline is not None and sum(peaks) >= baseline:
                found["memory/vram_added_gib"] = (sum(peaks) - baseline) / _GIB
        if len(own) == len(peaks):
            found["memory/vram_process_peak_gib"] = sum(own) / _GIB
        return found

    def _state(self, others_before: int, others_after: int) -> tuple[str, tuple[EnergyFlag, ...]]:
        """What people should know about the window besides the number, in words and as flags."""
        mask = 0
        for device in self._devices:
            mask |= device.throttle_mask
        notes: list[str] = []
        flags: list[EnergyFlag] = []
        if self._parent_scope:
            notes.append("whole parent GPU of a MIG slice")
            flags.append("parent_gpu")
        # A window inside this one started the highest count anew.
        if most := max(others_before, self._others_peak):
            counts = f"{others_before} at the start, {others_after} at the end, at most {most} at once"
            notes.append(f"processes of others on these GPUs: {counts}")
            flags.append("contended")
        if seen := [words for bit, words in _THROTTLES.items() if mask & bit]:
            notes.append(f"throttled: {', '.join(seen)}")
            flags.append("throttled")
        if mask & _POWER_CAP:
            notes.append("at the power limit")
        return "; ".join(notes), tuple(flags)


def gpu_indices(visible_devices: str | None = None) -> list[int]:
    """NVML indices of the GPUs in scope; empty where there is no driver, no GPU or none visible."""
    try:
        nvml = _start()
    except MonitorError:
        return []
    try:
        return sorted({c.index for c in _chosen(nvml, visible_devices)})
    except nvml.NVMLError as e:
        log.debug("GPUs cannot be listed: %s", e)
        return []
    finally:
        read(nvml, nvml.nvmlShutdown)


def free_memory_bytes(visible_devices: str | None = None) -> int | None:
    """Free memory of the GPUs (or MIG slices) in scope; None without one or where the driver does not say."""
    try:
        nvml = _start()
    except MonitorError:
        return None
    try:
        chosen = _chosen(nvml, visible_devices)
        indices = dict.fromkeys(c.index for c in chosen)
        devices = [_device(nvml, index, [c for c in chosen if c.index == index]) for index in indices]
        free = [int(nvml.nvmlDeviceGetMemoryInfo(handle).free) for d in devices for handle in d.memory_handles]
        return sum(free) if free else None
    except nvml.NVMLError as e:
        log.debug("free GPU memory cannot be read: %s", e)
        return None
    finally:
        read(nvml, nvml.nvmlShutdown)


def _start() -> Any:
    try:
        import pynvml
    except ImportError as e:
        raise MonitorError(f"pynvml cannot be imported: {e}; pip install nvidia-ml-py") from e
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as e:
        raise MonitorError(f"NVML does not start: {e} (no NVIDIA GPU here, or its driver is not visible)") from e
    return pynvml


def _chosen(nvml: Any, visible: str | None) -> tuple[Chosen, ...]:
    if visible is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = []
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        uuids = tuple(text(nvml.nvmlDeviceGetUUID(h)) for h in _slices(nvml, handle))
        gpus.append(Gpu(index=index, uuid=text(nvml.nvmlDeviceGetUUID(handle)), migs=uuids))
    return resolve(visible, gpus)


def _slices(nvml: Any, handle: Any) -> list[Any]:
    """Handles of a GPU's MIG slices; empty when it is not partitioned."""
    count: int = read(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
    found = [read(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, i) for i in range(count)]
    return [h for h in found if h is not None]


def _device(nvml: Any, index: int, chosen: list[Chosen]) -> _Device:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    wanted = {c.mig for c in chosen}
    slices = [h for h in _slices(nvml, handle) if text(nvml.nvmlDeviceGetUUID(h)) in wanted]
    return _Device(index, handle, slices or [handle])


def _instant_milliwatts(nvml: Any, handle: Any) -> int:
    """Power of this moment; the plain call gives a one-second mean on Ampere and later."""
    wanted = (nvml.NVML_FI_DEV_POWER_INSTANT, nvml.NVML_POWER_SCOPE_GPU)
    field = nvml.nvmlDeviceGetFieldValues(handle, [wanted])[0]
    if field.nvmlReturn != nvml.NVML_SUCCESS:
        raise nvml.NVMLError(field.nvmlReturn)
    return int(field.value.uiVal)
