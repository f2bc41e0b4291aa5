"""Whether weights fit into the memory at hand, and what the processor computes in; without torch."""

import os
import sys
from pathlib import Path
from typing import Any

from wattrack.engines.settings import Settings
from wattrack.errors import EngineError

GIB = 2**30
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp32": 4, "bf16": 2, "fp16": 2}
_CGROUPS = Path("/sys/fs/cgroup")


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


def kv_bytes_per_token(config: Any, dtype_bytes: int) -> int:
    """Bytes of keys and values that one more token adds over all layers, from a (text) configuration of transformers.

    Layers with a sliding window count in full (true up to the window, an upper bound beyond it); linear and state-space
    layers hold a constant state and count nothing, as do layers that share another layer's cache.
    """
    layers = int(config.num_hidden_layers)
    kinds = getattr(config, "layer_types", None)
    if kinds:
        layers = sum("attention" in kind and "linear" not in kind for kind in kinds)
    layers -= int(getattr(config, "num_kv_shared_layers", None) or 0)
    heads = int(config.num_attention_heads)
    kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
    head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return max(0, layers) * 2 * kv_heads * head_dim * dtype_bytes


def free_bytes(device: str) -> int | None:
    """Memory that may still be taken on "cpu" or "cuda"; None where nothing says.

    On CUDA: what NVML calls free on the visible GPU, and what torch holds in its pool without using it.
    """
    return _free_vram_bytes() if device.startswith("cuda") else _free_ram_bytes()


def _free_ram_bytes() -> int | None:
    limits = [_meminfo_available_bytes(), *_cgroup_free_bytes()]
    return min((limit for limit in limits if limit is not None), default=None)


def _meminfo_available_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux: installed memory is the best bound there is
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
    kib = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return None if kib is None else int(kib) * 1024


def _cgroup_free_bytes() -> list[int]:
    """Limit minus what is used and cannot be dropped, for every control group this process is in."""
    try:
        own = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []

    leaves = {part[1]: part[2].strip("/") for line in own if len(part := line.split(":", 2)) == 3}
    found = _cgroup_branch(_CGROUPS, leaves.get("", ""), "memory.max", "memory.current", "inactive_file")
    old = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    return found or _cgroup_branch(_CGROUPS / "memory", leaves.get("memory", ""), *old)


def _cgroup_branch(root: Path, leaf: str, limit: str, usage: str, droppable: str) -> list[int]:
    free: list[int] = []
    for folder in (root / leaf, *(root / leaf).parents):
        if folder == root.parent:
            break
        try:
            most = (folder / limit).read_text(encoding="ascii").strip()
            used = int((folder / usage).read_text(encoding="ascii"))
            stat = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        except (OSError, ValueError):
            continue
        cached = next((int(line.split()[1]) for line in stat if line.split()[0] == droppable), 0)
        if most.isdigit():
            free.append(max(0, int(most) - used + cached))
    return free


def _free_vram_bytes() -> int | None:
    from wattrack.monitors.nvml import free_memory_bytes

    free = free_memory_bytes(os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0])
    torch = sys.modules.get("torch")
    if free is None or torch is None or not torch.cuda.is_initialized():
        return free
    return free + int(torch.cuda.memory_reserved()) - int(torch.cuda.memory_allocated())
