"""Which physical GPUs a value of CUDA_VISIBLE_DEVICES names. Pure: the devices come as plain identifiers.

Covers: NVML indices, GPU UUIDs and their unique prefixes, MIG UUIDs in the new (`MIG-<uuid>`) and the old
(`MIG-GPU-<uuid>/<gi>/<ci>`) form, the empty value and -1 (no devices). As in CUDA, an entry that names
nothing hides itself and everything after it.
Does not cover: CUDA's fastest-first order. An index is an NVML index, which CUDA shares when
CUDA_DEVICE_ORDER=PCI_BUS_ID.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Identifiers of one physical GPU."""

    index: int
    """NVML's index: PCI order."""
    uuid: str
    """"GPU-...", as NVML gives it."""
    migs: tuple[str, ...] = ()
    """UUIDs of its MIG slices, when it is partitioned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One visible device: a whole GPU, or one slice of it."""

    index: int
    mig: str | None = None


def resolve(visible: str | None, gpus: Sequence[Gpu]) -> tuple[Chosen, ...]:
    """Devices named by `visible`, in its order, each once. None (variable not set) = every GPU."""
    if visible is None:
        return tuple(Chosen(index=g.index) for g in gpus)
    chosen: list[Chosen] = []
    for entry in (e.strip() for e in visible.split(",")):
        found = _find(entry, gpus)
        if found is None:
            break
        if found not in chosen:
            chosen.append(found)
    return tuple(chosen)


def _find(entry: str, gpus: Sequence[Gpu]) -> Chosen | None:
    if not entry:
        return None
    if entry.isdigit():
        return next((Chosen(index=g.index) for g in gpus if g.index == int(entry)), None)
    if entry.startswith("MIG-GPU-"):
        uuid = entry.removeprefix("MIG-").split("/")[0]
        return next((Chosen(index=g.index, mig=entry) for g in gpus if g.uuid == uuid), None)
    if entry.startswith("MIG-"):
        slices = [Chosen(index=g.index, mig=m) for g in gpus for m in g.migs if m.startswith(entry)]
        return slices[0] if len(slices) == 1 else None
    whole = [Chosen(index=g.index) for g in gpus if entry.startswith("GPU-") and g.uuid.startswith(entry)]
    return whole[0] if len(whole) == 1 else None
