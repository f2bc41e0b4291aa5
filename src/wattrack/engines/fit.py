"""Whether weights fit into the memory at hand, and what the processor computes in; without torch."""

import os
import shutil
import subprocess
from pathlib import Path

from wattrack.engines.settings import Settings
from wattrack.errors import EngineError

GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp32": 4, "bf16": 2, "fp16": 2}
_NVIDIA_SMI_TIMEOUT_S = 5.0


def refuse_if_too_big(weight_bytes: int | None, checkpoint_dtype: str | None, settings: Settings) -> None:
    """Refuse when the weights alone exceed the free memory of the device they would be loaded to.

    KV cache and activations come on top, so passing is no promise that the model runs.

    Raises:
        EngineError: with both numbers in GiB.
    """
    if weight_bytes is None:
        return
    gpu_free = None if settings.device == "cpu" else _free_vram_bytes()
    free, memory = (gpu_free, "VRAM") if gpu_free is not None else (_free_ram_bytes(), "RAM")
    dtype = settings.dtype
    if dtype == "auto" and memory == "RAM":
        dtype = "bf16" if cpu_computes_bf16() else "fp32"
    need = weight_bytes
    if dtype in _BYTES and checkpoint_dtype in _BYTES:
        need = weight_bytes * _BYTES[dtype] // _BYTES[checkpoint_dtype]
    if free is not None and need > free:
        raise EngineError(
            f"{settings.model_id} needs {need / GIB:.1f} GiB of {memory} for its weights ({dtype}) but only "
            f"{free / GIB:.1f} GiB are free: take a smaller model, a narrower dtype or a larger machine"
        )


def cpu_computes_bf16() -> bool:
    """Whether the processor multiplies bf16 natively (AMX or AVX512); elsewhere bf16 is slower than fp32."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _free_ram_bytes() -> int | None:
    limits = [_meminfo_available_bytes(), _cgroup_limit_bytes()]
    return min((limit for limit in limits if limit is not None), default=None)


def _meminfo_available_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux: installed memory is the best bound there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
    kib = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if kib is None else int(kib) * 1024


def _cgroup_limit_bytes() -> int | None:
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdigit() else None
    return None


def _free_vram_bytes() -> int | None:
    """Free memory of the GPU torch would use; None without one or where the driver does not say."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=uuid,memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    for index, line in enumerate(answer.stdout.splitlines()):
        uuid, _, free_mib = (part.strip() for part in line.partition(","))
        if first and (first == str(index) or uuid.startswith(first)):
            return int(free_mib) * 2**20 if free_mib.isdigit() else None
    return None
