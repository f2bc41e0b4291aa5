"""Attention as the variants compute it: grouped queries, and torch's own FlashAttention with its log-sum-exps.

On a CPU the flash kernels are emulated row by row with the engine's plain attention, so that every index is checked.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import wattrack.engines.sharing.attention as attention
import wattrack.engines.sharing.packing as packing
from wattrack.engines.sharing.attention import How, Packed, Prefix, merge


def grouped(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, how: How, *, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """As `attention.attend`, without copying keys and values for every query head of a group; no soft cap."""
    batch, heads, queries, dim = query.shape
    key_heads, keys = key.shape[1:3]
    stacked = query.reshape(batch, key_heads, heads // key_heads * queries, dim)
    scores = (stacked @ key.transpose(-1, -2)).float() * how.scale
    scores = scores.reshape(batch, heads, queries, keys)
    if causal:
        after = torch.ones(queries, keys, dtype=torch.bool, device=query.device).triu(1)
        scores = scores.masked_fill(after, float("-inf"))
    if bias is not None:
        scores = scores + bias
    lse = scores.logsumexp(-1)
    weights = (scores - lse[..., None]).exp().to(value.dtype)
    weights = weights.reshape(batch, key_heads, heads // key_heads * queries, keys)
    return (weights @ value).reshape(batch, heads, queries, value.shape[-1]), lse


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """Where the rows of one sequence begin and end, as the kernel for rows of different lengths takes them."""

    queries: Tensor
    """(rows + 1,), int32."""
    keys: Tensor
    """(rows + 1,), int32."""
    longest_query: int
    longest_key: int
    used: Tensor | None = None
    """(rows,), int32: how many keys of each row count, from its first on; None = all."""


def by_rows(
    query: Tensor, key: Tensor, value: Tensor, spans: Spans, scale: float, *, causal: bool
) -> tuple[Tensor, Tensor]:
    """Query (tokens, heads, dim), key and value (places, KV heads, dim) -> the same as query, (tokens, heads)."""
    if query.device.type == "cpu":
        return _by_rows_emulated(query, key, value, spans, How(scale), causal=causal)
    out, lse, *_ = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        spans.queries,
        spans.keys,
        spans.longest_query,
        spans.longest_key,
        0.0,
        causal,
        False,
        scale=scale,
        seqused_k=spans.used,
    )
    return out, lse[..., 0] if lse.dim() == 3 else lse.t()


def _by_rows_emulated(
    query: Tensor, key: Tensor, value: Tensor, spans: Spans, how: How, *, causal: bool
) -> tuple[Tensor, Tensor]:
    out, lse = torch.empty_like(query), torch.empty(query.shape[:2])
    queries, keys = spans.queries.tolist(), spans.keys.tolist()
    for row, (start, end) in enumerate(itertools.pairwise(queries)):
        count = keys[row + 1] - keys[row] if spans.used is None else int(spans.used[row])
        mine = slice(keys[row], keys[row] + count)
        parts = [x.transpose(0, 1)[None] for x in (query[start:end], key[mine], value[mine])]
        row_out, row_lse = attention._plain(parts[0], parts[1], parts[2], None, how, causal=causal)
        out[start:end], lse[start:end] = row_out[0].transpose(0, 1), row_lse[0].t()
    return out, lse


def with_prefix(
    own: Tensor, weight: Tensor, query: Tensor, prefix: Prefix, layer: int, scale: float
) -> Tensor:  # (tokens, heads, dim)
    """Merge attention over own tokens with that over the prefix, which all queries (1, heads, tokens, dim) see."""
    if not prefix.length:
        return own
    key, value = prefix.keys[layer], prefix.values[layer]
    if query.device.type == "cpu":
        out, lse = attention._plain(query, key, value, None, How(scale), causal=False)
    else:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            query, key, value, 0.0, False, False, scale=scale
        )
    lse = lse[0, :, : query.shape[2]]  # the kernel pads it
    return merge(own, weight, out[0].transpose(0, 1), lse.t())


@dataclass(slots=True)
class FlashPacked(Packed):
    """Rows laid end to end, attended by the kernel for rows of different lengths instead of by padding."""

    spans: Spans | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: How) -> Tensor:
        """See `attention.Pass`; the batch is 1."""
        if self.bias is not None or self.spans is None:
            return Packed.attend(self, layer, query, key, value, how)
        if self.record is not None:
            self.record.keys.append(key)
            self.record.values.append(value)
        rows = [x[0].transpose(0, 1).contiguous() for x in (query, key, value)]
        own, weight = by_rows(rows[0], rows[1], rows[2], self.spans, how.scale, causal=True)
        return with_prefix(own, weight, query, self.prefix, layer, how.scale)[None]


class FlashStep:
    """One token for each of `rows` slots; every tensor stays where it is, so that a graph can be captured of it."""

    def __init__(self, prefix: Prefix, keys: Sequence[Tensor], values: Sequence[Tensor], lengths: Tensor) -> None:
        """Buffers per layer (slots, KV heads, capacity, dim); `lengths` (rows,) are own tokens before this one."""
        self._prefix, self._keys, self._values, self._lengths = prefix, keys, values, lengths
        rows, (key_heads, capacity) = len(lengths), keys[0].shape[1:3]
        self._every = torch.arange(rows, device=lengths.device)
        self._queries = torch.arange(rows + 1, device=lengths.device, dtype=torch.int32)
        self._starts = self._queries * (key_heads * capacity)
        self._used: Tensor | None = None

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: How) -> Tensor:
        """See `attention.Pass`; tokens is 1."""
        if layer == 0:
            self._used = (self._lengths + 1).to(torch.int32)
        keys, values = self._keys[layer], self._values[layer]
        keys[self._every, :, self._lengths] = key[:, :, 0]
        values[self._every, :, self._lengths] = value[:, :, 0]
        spans = Spans(
            queries=self._queries, keys=self._starts, longest_query=1, longest_key=keys.shape[2], used=self._used
        )
        newest = query[:, :, 0]
        own, weight = by_rows(newest.contiguous(), _flat(keys), _flat(values), spans, how.scale, causal=False)
        return with_prefix(own, weight, newest.transpose(0, 1)[None], self._prefix, layer, how.scale)[:, None]


def _flat(buffer: Tensor) -> Tensor:
    """A view (places, KV heads, dim) of (slots, KV heads, capacity, dim): slot s begins at place s * heads * capacity.

    Behind the first `capacity` places of a slot it shows the next head's; they are never used.
    """
    slots, heads, capacity, dim = buffer.shape
    return buffer.as_strided((slots * heads * capacity - (heads - 1) * capacity, heads, dim), (dim, capacity * dim, 1))


def use_grouped() -> None:
    """Let mode shared attend by `grouped`, in this process."""
    attention.attend = grouped


def use_flash() -> None:
    """Let mode shared read prompts by `FlashPacked`, in this process."""
    plain = packing._pass

    def flash(rows: Any, starts: Sequence[int], prefix: Prefix, record: Prefix | None, device: torch.device) -> Packed:
        one = plain(rows, starts, prefix, record, device)
        ends = list(starts)
        if fill := -starts[-1] % packing._ROUND_TOKENS:
            ends.append(starts[-1] + fill)
        places = torch.tensor(ends, device=device, dtype=torch.int32)
        longest = max(end - start for start, end in itertools.pairwise(ends))
        spans = Spans(queries=places, keys=places, longest_query=longest, longest_key=longest)
        return FlashPacked(one.prefix, one.places, one.unpad, one.bias, one.record, spans)

    packing._pass = flash
