"""The one model that stays in memory between the jobs of a process, and the proof that it is gone afterwards."""

import gc
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psutil

from wattrack.engines.weights import heap
from wattrack.engines.weights.fit import GIB

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_TOLERANCE_BYTES = 64 * 2**20
_TOLERANCE_SHARE = 0.01
_TOLERANCE_SHARE_RSS = 0.1
"""Resident memory moves for many reasons: this share of the weights may seem to stay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelKey:
    """What two jobs must agree in to use the same weights in memory."""

    source: str
    revision: str | None
    weights: str
    seed: int | None
    """Of random weights; stored ones do not depend on it."""
    dtype: str
    device: str
    quantization: str
    attention: str | None


@dataclass(slots=True, kw_only=True)
class Kept:
    """A loaded model with what was found out while loading it."""

    key: ModelKey
    model: Any
    tokenizer: Any
    end_ids: tuple[int, ...]
    dropped_defaults: str
    fallbacks: tuple[str, ...]
    """What loading itself could not honour."""
    device: "torch.device"
    weight_bytes: int
    before_bytes: int
    """In use before it was loaded: torch's tensors on CUDA, resident memory on CPU."""
    loaded_bytes: int
    """What loading added to that."""


class Keeper:
    """Holds at most one model that no job is using. `keep` says whether there is a next job that might want it."""

    def __init__(self) -> None:
        self.keep = False
        """Set while several jobs run in this process."""
        self.left_over_gib: float | None = None
        """Of the latest model freed: what did not come back."""
        self._idle: Kept | None = None

    def take(self, key: ModelKey) -> Kept | None:
        """Hand over the idle model if it is this one; any other is freed first, because two may not fit."""
        if self._idle is None or self._idle.key != key:
            self.free_idle()
            return None
        found, self._idle = self._idle, None
        return found

    def held_bytes(self, key: ModelKey) -> int:
        """Memory of the model that `take` would hand over; any other is freed."""
        if self._idle is not None and self._idle.key != key:
            self.free_idle()
        return 0 if self._idle is None else self._idle.loaded_bytes

    def idle_bytes(self, device: str) -> int:
        """Memory on "cpu" or "cuda" that a next job takes over or gets back."""
        return self._idle.loaded_bytes if self._idle is not None and self._idle.device.type == device else 0

    def end_of_job(self, kept: Kept) -> None:
        """Keep the model for the next job, or free it."""
        self.free_idle()
        if self.keep:
            self._idle = kept
        else:
            self._free(kept)

    def free_idle(self) -> None:
        """Free the model kept from an earlier job, if there is one."""
        idle, self._idle = self._idle, None
        if idle is not None:
            self._free(idle)

    def _free(self, kept: Kept) -> None:
        """Drop the model and compare memory with what was in use before it was loaded."""
        device, weight_bytes, before = kept.device, kept.weight_bytes, in_use_bytes(kept.device)
        if getattr(kept.model, "_compiled_call", None) is not None:
            import torch

            torch.compiler.reset()  # compiled graphs hold the weights and memory of their own
        kept.model = None
        gc.collect()
        give_back(device)
        after = in_use_bytes(device)
        if device.type == "cuda":
            left = after - kept.before_bytes
            allowed = max(_TOLERANCE_BYTES, int(_TOLERANCE_SHARE * weight_bytes))
        else:  # a job grows the process for other reasons too: what must come back are the weights
            left = weight_bytes - (before - after)
            allowed = max(_TOLERANCE_BYTES, int(_TOLERANCE_SHARE_RSS * weight_bytes))
        self.left_over_gib = max(0, left) / GIB if left > allowed else 0.0
        if left > allowed:
            log.warning(
                "%s was freed, but %.2f GiB of its %.2f GiB did not come back",
                kept.key.source, left / GIB, weight_bytes / GIB,
            )  # fmt: skip


KEEPER = Keeper()
"""The keeper of this process."""


def in_use_bytes(device: "torch.device") -> int:
    """Tensors of this process on CUDA, resident memory on CPU."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.memory_allocated(device))
    return int(psutil.Process().memory_info().rss)


def give_back(device: "torch.device") -> None:
    """Hand freed memory to the device and to the system."""
    if device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
    heap.hand_back()
