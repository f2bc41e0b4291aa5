"""Attention over a shared prefix and a row's own tokens, combined exactly by their log-sum-exps.

softmax over [prefix, own] equals the two softmaxes weighted by sigmoid of the difference of their log-sum-exps (as in
FlashAttention's blocks: Dao et al. 2022, arXiv:2205.14135, section 3.1). So the prefix's keys and values exist once,
whatever the number of rows, and are never copied into a batch.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from transformers import AttentionInterface

from wattrack.engines.weights.onednn import linears
from wattrack.errors import EngineError

if TYPE_CHECKING:
    from wattrack.engines.weights.loaded import Loaded

NAME = "wattrack_shared"
"""The name under which transformers finds `_attention`."""

_UNKNOWN = ("position_bias", "s_aux", "cache")
"""Arguments of attention functions that change the result and are not handled here."""


class Pass(Protocol):
    """One forward pass: what queries of each layer attend to."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: "How") -> Tensor:
        """Query (batch, heads, tokens, dim), key and value with the KV heads -> (batch, tokens, heads, dim)."""


@dataclass(frozen=True, slots=True)
class How:
    """What the model's own layer says about its attention."""

    scale: float
    softcap: float | None = None


@dataclass(slots=True)
class Prefix:
    """Keys and values of tokens that several rows begin with."""

    length: int = 0
    keys: list[Tensor] = field(default_factory=list)
    """Per layer, (1, KV heads, length, head dim)."""
    values: list[Tensor] = field(default_factory=list)


@dataclass(slots=True)
class Packed:
    """Rows laid end to end in one sequence without padding; each attends to itself and to the prefix.

    Rows are padded inside attention only, where each is a row of a batch; everything else of the model computes real
    tokens.
    """

    prefix: Prefix
    places: Tensor
    """(rows, longest row): where in the sequence a row's token stands; any valid place where it has none."""
    unpad: Tensor
    """(tokens,): where in the flattened `places` each token of the sequence stands; anywhere for one that fills up."""
    bias: Tensor | None
    """(rows, 1, longest, longest), 0 or -inf, fp32; None = causal."""
    record: Prefix | None = None
    """Receives each layer's keys and values, (1, KV heads, tokens, dim)."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: How) -> Tensor:
        """What `Pass.attend` says, of one flat sequence: the batch is 1. Keys and values are also noted in `record`."""
        if self.record is not None:
            self.record.keys.append(key)
            self.record.values.append(value)
        rows = [self._rows(x) for x in (query, key, value)]
        own, weight = attend(rows[0], rows[1], rows[2], self.bias, how, causal=self.bias is None)
        own = own.transpose(1, 2).flatten(0, 1)[self.unpad]
        weight = weight.transpose(1, 2).flatten(0, 1)[self.unpad]
        if self.prefix.length:
            shared, shared_weight = attend(query, self.prefix.keys[layer], self.prefix.values[layer], None, how)
            own = merge(own, weight, shared[0].transpose(0, 1), shared_weight[0].transpose(0, 1))
        return own[None]

    def _rows(self, x: Tensor) -> Tensor:
        """(1, heads, tokens, dim) -> (rows, heads, longest, dim)."""
        return x[0].transpose(0, 1)[self.places].transpose(1, 2)


@dataclass(slots=True)
class Step:
    """One token for each of many rows, on top of the prefix and of each row's own tokens in static buffers."""

    prefix: Prefix
    keys: list[Tensor]
    """Per layer, (slots, KV heads, capacity, head dim), written in place."""
    values: list[Tensor]
    lengths: Tensor
    """(rows,): own tokens before this one; rows are the first slots."""
    bias: Tensor
    """(rows, 1, 1, longest), 0 up to and including this token, else -inf."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, how: How) -> Tensor:
        """See `Pass`; tokens is 1."""
        rows, longest = query.shape[0], self.bias.shape[-1]
        every = torch.arange(rows, device=query.device)
        self.keys[layer][every, :, self.lengths] = key[:, :, 0]
        self.values[layer][every, :, self.lengths] = value[:, :, 0]
        mine = (self.keys[layer][:rows, :, :longest], self.values[layer][:rows, :, :longest])
        own, weight = attend(query, *mine, self.bias, how)
        own, weight = own[:, :, 0], weight[:, :, 0]
        if self.prefix.length:
            # All rows become queries of one: the prefix is read once, not once per row.
            together = query[:, :, 0].transpose(0, 1)[None]
            shared, shared_weight = attend(together, self.prefix.keys[layer], self.prefix.values[layer], None, how)
            own = merge(own, weight, shared[0].transpose(0, 1), shared_weight[0].transpose(0, 1))
        return own[:, None]


def merge(a: Tensor, a_lse: Tensor, b: Tensor, b_lse: Tensor) -> Tensor:
    """Attention over the union of two disjoint key sets; outputs (..., dim), log-sum-exps (...)."""
    share = torch.sigmoid(a_lse - b_lse)[..., None]
    return torch.lerp(b.float(), a.float(), share).to(a.dtype)


def attend(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, how: How, *, causal: bool = False
) -> tuple[Tensor, Tensor]:
    """Softmax attention and its log-sum-exp.

    Args:
        query: (batch, heads, queries, dim).
        key: (batch, KV heads, keys, dim); heads is a multiple of KV heads.
        value: as key.
        bias: added to the scores, fp32, broadcastable to (batch, heads, queries, keys).
        how: scale and soft cap.
        causal: query i sees keys 0..i; excludes `bias`.

    Returns:
        Output (batch, heads, queries, dim) in the query's dtype, log-sum-exp (batch, heads, queries) in fp32.
    """
    if query.device.type == "cpu" and how.softcap is None and query.shape[-1] == value.shape[-1]:
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        shape, groups = query.shape, query.shape[1] // key.shape[1]
        if shape[2] == 1 and groups > 1:
            # The heads of a group as queries of one: ten times as fast in bf16 as one query per head.
            query, causal = query.reshape(shape[0], key.shape[1], groups, shape[3]), False
        out, lse = fused(query, key, value, 0.0, causal, attn_mask=bias, scale=how.scale)
        return out.reshape(shape), lse.reshape(shape[:3])
    return _plain(query, key, value, bias, how, causal=causal)


def _plain(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, how: How, *, causal: bool
) -> tuple[Tensor, Tensor]:
    batch, heads, queries, dim = query.shape
    groups = heads // key.shape[1]
    grouped = query.reshape(batch, key.shape[1], groups, queries, dim)
    scores = (grouped @ key[:, :, None].transpose(-1, -2)).float() * how.scale
    scores = scores.reshape(batch, heads, queries, key.shape[2])
    if how.softcap is not None:
        scores = how.softcap * torch.tanh(scores / how.softcap)
    if causal:
        scores = scores.masked_fill(_after(queries, key.shape[2], query.device), float("-inf"))
    if bias is not None:
        scores = scores + bias
    lse = scores.logsumexp(-1)
    weights = (scores - lse[..., None]).exp().to(value.dtype)
    weights = weights.reshape(batch, key.shape[1], groups, queries, key.shape[2])
    return (weights @ value[:, :, None]).reshape(batch, heads, queries, value.shape[-1]), lse


def _after(queries: int, keys: int, device: torch.device) -> Tensor:
    return torch.ones(queries, keys, dtype=torch.bool, device=device).triu(1)


_running: list[Pass] = []


@contextmanager
def running(one: Pass) -> Iterator[None]:
    """Let the model's attention layers use `one` while its forward runs."""
    _running.append(one)
    try:
        yield
    finally:
        _running.pop()


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: object, **options: Any
) -> tuple[Tensor, None]:
    """What transformers calls in every layer."""
    if strange := [name for name in _UNKNOWN if options.get(name) is not None]:
        raise EngineError(f"attention of this model needs {', '.join(strange)}, which prefix sharing does not know")
    scale = options.get("scaling")
    how = How(float(query.shape[-1] ** -0.5 if scale is None else scale), options.get("softcap"))
    return _running[-1].attend(module.layer_idx, query, key, value, how), None


AttentionInterface.register(NAME, _attention)


@contextmanager
def sharing(loaded: "Loaded") -> Iterator[None]:
    """Switch the model's attention to this module's, and its fp32 products to oneDNN where wanted, and back."""
    model, before = loaded.model, loaded.model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        with linears(model) if loaded.by_onednn else nullcontext():
            yield
    finally:
        model.set_attn_implementation(before)
