"""Rows laid end to end: the tensors of one forward pass without padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from wattrack.engines.sharing.attention import Packed, Prefix, running

_ROUND_TOKENS = 32
"""Passes are filled up to a multiple of this: kernels are prepared anew for every new shape, which took a fifth of
a short job in bf16 on a CPU."""
ROOT = 0
"""The segment that all branches of a row continue."""


@dataclass(frozen=True, slots=True)
class PackedRow:
    """The tokens one row adds to the prefix: a root, and branches that continue it without seeing one another."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    """Of each token in its own text, prefix included."""
    segments: tuple[int, ...]
    """ROOT, or the number of the branch (1, 2, ...)."""
    keep: tuple[int, ...]
    """Places in `ids` whose next-token logits are wanted, ascending."""

    @property
    def branched(self) -> bool:
        """Whether plain causal attention would let a branch see another."""
        return self.segments[-1] != ROOT


def straight(ids: Sequence[int], start: int) -> PackedRow:
    """A row without branches whose first token stands at position `start`; its last logits are kept."""
    positions = range(start, start + len(ids))
    return PackedRow(tuple(ids), tuple(positions), (ROOT,) * len(ids), (len(ids) - 1,))


def forward(
    model: Any, rows: Sequence[PackedRow], prefix: Prefix, record: Prefix | None = None
) -> tuple[torch.Tensor, Packed]:
    """One pass over all rows, under `attention.sharing`.

    Returns:
        Logits of every kept place, rows in order, shape (sum of kept, vocabulary), in the model's dtype; the pass.
    """
    device = model.device
    starts = [0]
    for row in rows:
        starts.append(starts[-1] + len(row.ids))
    fill = (0,) * (-starts[-1] % _ROUND_TOKENS)
    ids = torch.tensor([[*(token for row in rows for token in row.ids), *fill]], device=device)
    positions = torch.tensor([[*(place for row in rows for place in row.positions), *fill]], device=device)
    keep = torch.tensor([start + k for start, row in zip(starts, rows, strict=False) for k in row.keep], device=device)
    one = _pass(rows, starts, prefix, record, device)
    with torch.inference_mode(), running(one):
        output = model(input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=keep)
    return output.logits[0], one


def compute_prefix(model: Any, ids: Sequence[int]) -> Prefix:
    """Keys and values of a common beginning, computed once."""
    if not ids:
        return Prefix()
    prefix = Prefix(length=len(ids))
    forward(model, [straight(ids, 0)], Prefix(), record=prefix)
    prefix.keys = [key[:, :, : len(ids)].contiguous() for key in prefix.keys]
    prefix.values = [value[:, :, : len(ids)].contiguous() for value in prefix.values]
    return prefix


def _pass(
    rows: Sequence[PackedRow], starts: Sequence[int], prefix: Prefix, record: Prefix | None, device: torch.device
) -> Packed:
    longest = max(len(row.ids) for row in rows)
    lengths = torch.tensor([len(row.ids) for row in rows], device=device)
    offsets = torch.arange(longest, device=device)[None]
    filled = offsets < lengths[:, None]
    places = torch.where(filled, torch.tensor(starts[:-1], device=device)[:, None] + offsets, 0)
    unpad = torch.nn.functional.pad(filled.flatten().nonzero()[:, 0], (0, -starts[-1] % _ROUND_TOKENS))
    return Packed(prefix, places, unpad, _bias(rows, longest, device), record)


def _bias(rows: Sequence[PackedRow], longest: int, device: torch.device) -> torch.Tensor | None:
    """Token i sees the root and its own branch up to itself."""
    if not any(row.branched for row in rows):
        return None
    segments = torch.tensor([[*row.segments, *(ROOT,) * (longest - len(row.ids))] for row in rows], device=device)
    earlier = torch.ones(longest, longest, dtype=torch.bool, device=device).tril()
    visible = (segments[:, None, :] == ROOT) | (segments[:, None, :] == segments[:, :, None])
    hidden = ~(visible & earlier)
    return torch.zeros(hidden.shape, device=device).masked_fill_(hidden, float("-inf"))[:, None]
