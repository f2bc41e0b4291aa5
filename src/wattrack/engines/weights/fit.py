"""Whether a model fits into the memory at hand: predicted bytes against free ones, without torch."""

import logging
import os
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wattrack.engines.weights.settings import Settings
from wattrack.environment import cpu_info
from wattrack.errors import EngineError

log = logging.getLogger(__name__)

GIB = 2**30
_TIGHT = 0.9
_CPU_FACTOR = 3
_CUDA_CONTEXT_BYTES = int(0.6 * GIB)
PASS_TOKENS = {"cpu": 1024, "cuda": 8192}
"""Prompt tokens in one pass of mode shared: enough to keep the processor busy, more only takes memory."""
_FEW_ROWS = 4
"""Rows of preset memory_optimized."""
_LEAST_CONTEXT = 64
"""Shorter texts are no use to anyone."""
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "fp32": 4, "bf16": 2, "fp16": 2}
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What of a model decides how much memory it takes, in the dtype and quantization in effect."""

    weight_bytes: int
    """Parameters and buffers, tied ones once."""
    kv_bytes_per_token: int
    """Keys and values of one token over all layers."""
    activation_bytes_per_token: int
    """Widest pair of intermediate results of one layer, for one token of a prompt."""
    logits_bytes_per_row: int
    """Scores over the vocabulary, in the dtype and in fp32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is asked of the model at once."""

    rows: int
    prompt_tokens: int
    """Of the longest prompt."""
    new_tokens: int
    shared_tokens: int = 0
    """Common beginning of all prompts, which packed rows keep once."""
    packed: bool = True
    """Prompts go through in passes of bounded length (mode shared); otherwise all rows at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Predicted bytes by cause."""

    weights: int
    kv: int
    activations: int
    """Intermediate results and logits."""
    context: int
    """What CUDA and its libraries take."""

    @property
    def total(self) -> int:
        """The sum of all parts, in bytes."""
        return self.weights + self.kv + self.activations + self.context

    def __str__(self) -> str:
        rest = f" + {self.context / GIB:.1f} CUDA" if self.context else ""
        return (
            f"{self.weights / GIB:.1f} GiB weights + {self.kv / GIB:.1f} KV cache + "
            f"{self.activations / GIB:.1f} activations{rest} = {self.total / GIB:.1f} GiB"
        )


def need(shape: Shape, work: Work, device: str) -> Need:
    """Predict: weights + rows x tokens x bytes of keys and values + activations of a prompt pass + logits.

    On CPUs keys, values and activations count three times: measured peaks were 1.7 to 2.9 times the formula, because
    growing a cache copies it and the heap keeps holes.
    """
    factor = 1 if device == "cuda" else _CPU_FACTOR
    shared = min(work.shared_tokens, work.prompt_tokens) if work.packed else 0
    tokens = shared + work.rows * (work.prompt_tokens - shared + work.new_tokens)
    prompt = shared + work.rows * (work.prompt_tokens - shared)
    if work.packed:
        prompt = min(prompt, PASS_TOKENS[device])
    return Need(
        weights=shape.weight_bytes,
        kv=factor * tokens * shape.kv_bytes_per_token,
        activations=factor * prompt * shape.activation_bytes_per_token + work.rows * shape.logits_bytes_per_row,
        context=_CUDA_CONTEXT_BYTES if device == "cuda" else 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A model, what is asked of it and the memory there is."""

    model_id: str
    device: str
    """cpu or cuda."""
    precision: str
    """The dtype or quantization in effect, for people."""
    shape: Shape
    work: Work
    free: int | None
    """Before loading; memory of the same model kept from an earlier job counts as free. None = unknown."""
    used: int
    """Resident memory of the process before loading."""
    small: Shape | None = None
    """The same model under preset=memory_optimized, where that is smaller."""

    def predicted_gib(self, rows: int, packed: bool) -> float:
        """The prediction for the rows that were really used: of the GPU's memory or, on a CPU, of the process."""
        work = replace(self.work, rows=max(1, min(rows, self.work.rows)), packed=packed)
        total = need(self.shape, work, self.device).total
        return (total if self.device == "cuda" else self.used + total) / GIB

    def refuse(self, asked_rows: int | None) -> None:
        """Refuse what cannot fit; an automatic batch needs room for one row only.

        Raises:
            EngineError: the numbers, and what would fit.
        """
        rows = 1 if asked_rows is None else min(asked_rows, self.work.rows)
        work = replace(self.work, rows=rows)
        wanted = need(self.shape, work, self.device)
        if self.free is None or wanted.total <= _TIGHT * self.free:
            return
        memory = "VRAM" if self.device == "cuda" else "RAM"
        tokens = work.prompt_tokens + work.new_tokens
        says = (
            f"{wanted} of {memory} ({self.precision}, {rows} {'row' if rows == 1 else 'rows'} of {tokens} tokens), "
            f"{self.free / GIB:.1f} GiB free"
        )
        if wanted.total <= self.free:
            log.warning("%s fits tightly: %s", self.model_id, says)
            return
        options = ", or ".join(self._options(work)) or "nothing of it: take a smaller model or a larger machine"
        raise EngineError(f"{self.model_id} does not fit: {says}; would fit: {options}")

    def _options(self, work: Work) -> Iterator[str]:
        """Settings under which it fits, from the one that changes least."""
        assert self.free is not None
        if rows := _most(work.rows - 1, lambda n: self._fits(self.shape, replace(work, rows=n))):
            yield f"preset.batch_size={rows}"
        few = replace(work, rows=min(work.rows, _FEW_ROWS))
        if self.small is not None and self._fits(self.small, few):
            yield "preset=memory_optimized"
        one = replace(work, rows=1)
        asked = work.prompt_tokens + work.new_tokens
        context = _most(asked - 1, lambda n: self._fits(self.shape, replace(one, prompt_tokens=n, new_tokens=0)))
        if not rows and context >= _LEAST_CONTEXT:
            yield f"texts of {context} tokens in all (a shorter prompt, a smaller max_new_tokens)"

    def _fits(self, shape: Shape, work: Work) -> bool:
        return self.free is not None and need(shape, work, self.device).total <= self.free


def _most(limit: int, fits: Callable[[int], bool]) -> int:
    """The largest number from 1 to `limit` that fits, where smaller ones fit better; 0 = none."""
    return bisect_left(range(1, limit + 1), True, key=lambda n: not fits(n))


def refuse_if_too_big(weight_bytes: int | None, checkpoint_dtype: str | None, settings: Settings) -> None:
    """Refuse when the weights alone exceed the memory they would be loaded to; before torch is imported.

    KV cache and activations come on top: `Fit.refuse` counts them once the architecture is known.

    Raises:
        EngineError: with both numbers in GiB.
    """
    if weight_bytes is None:
        return
    from wattrack.engines.weights.kept import KEEPER

    gpu_free = None if settings.device == "cpu" else _free_vram_bytes()
    free, memory = (gpu_free, "VRAM") if gpu_free is not None else (_free_ram_bytes(), "RAM")
    if free is not None:
        free += KEEPER.idle_bytes("cuda" if memory == "VRAM" else "cpu")
    dtype = settings.dtype
    if dtype == "auto" and memory == "RAM":
        dtype = "bf16" if cpu_computes_bf16() else "fp32"
    need = weight_bytes
    if memory == "VRAM" and settings.quantization != "none":
        need, dtype = weight_bytes // 4, settings.quantization
    elif dtype in _BYTES and checkpoint_dtype in _BYTES:
        need = weight_bytes * _BYTES[dtype] // _BYTES[checkpoint_dtype]
    if free is not None and need > free:
        raise EngineError(
            f"{settings.model_id} needs {need / GIB:.1f} GiB of {memory} for its weights ({dtype}) but only "
            f"{free / GIB:.1f} GiB are free: take a smaller model, a narrower dtype or a larger machine"
        )


def cpu_computes_bf16() -> bool:
    """Whether the processor multiplies bf16 natively (AMX or AVX512); elsewhere bf16 is slower than fp32."""
    flags = cpu_info()
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
