"""The ways to generate that are compared: each takes the same rows and gives the tokens of every row."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from batches import FlashBatch, TimedBatch, Times
from kernels import use_flash, use_grouped
from transformers import ContinuousBatchingConfig, GenerationConfig

import wattrack.engines.sharing.attention as attention
from wattrack.engines.plain.stamps import StampStreamer
from wattrack.engines.rows import TextRow
from wattrack.engines.sharing.packing import compute_prefix
from wattrack.engines.sharing.rolling import Capacity
from wattrack.engines.text.stops import StopStrings
from wattrack.schema import Generation

PAGE = 256
PREFILL_TOKENS = 8192
GeneratingConfig: Any = GenerationConfig

Answers = dict[str, list[int]]
"""New tokens by sample id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every variant generates for."""

    model: Any
    rows: Sequence[TextRow]
    """Longest first, all with the same beginning."""
    prefix: int
    """Tokens of that beginning."""
    new: int

    @property
    def on_gpu(self) -> bool:
        """Whether there is anything to capture or to synchronise with."""
        return bool(self.model.device.type == "cuda")


def naive(work: Work, times: Times) -> Answers:
    """generate() over left-padded rows with a dynamic cache."""
    return _generate(work, times)


def static(work: Work, times: Times) -> Answers:
    """The same with a static cache, which transformers compiles for."""
    longest = max(len(row.ids) for row in work.rows)
    return _generate(work, times, cache_implementation="static", max_cache_len=longest + work.new)


def _generate(work: Work, times: Times, **cache: Any) -> Answers:
    width = max(len(row.ids) for row in work.rows)
    device = work.model.device
    padding = [width - len(row.ids) for row in work.rows]
    ids = torch.tensor([[0] * pad + list(row.ids) for pad, row in zip(padding, work.rows, strict=True)], device=device)
    mask = torch.arange(width, device=device)[None] >= torch.tensor(padding, device=device)[:, None]
    stamps = StampStreamer()
    out = work.model.generate(
        input_ids=ids,
        attention_mask=mask.long(),
        streamer=stamps,
        generation_config=GeneratingConfig(max_new_tokens=work.new, do_sample=False, pad_token_id=0, **cache),
    )
    times.walls_s += _gaps(stamps.stamps_s)
    return {row.request.sample_id: new for row, new in zip(work.rows, out[:, width:].tolist(), strict=True)}


def continuous(work: Work, times: Times) -> Answers:
    """transformers' generate_batch, as the installed packages allow."""
    longest = max(len(row.ids) for row in work.rows) + work.new
    results = work.model.generate_batch(
        [list(row.ids) for row in work.rows],
        generation_config=GeneratingConfig(max_new_tokens=work.new, do_sample=False, eos_token_id=-1, pad_token_id=0),
        continuous_batching_config=ContinuousBatchingConfig(
            num_blocks=len(work.rows) * (longest // PAGE + 2),
            max_batch_tokens=PREFILL_TOKENS,
            max_requests_per_batch=len(work.rows),
        ),
        record_timestamps=True,
        progress_bar=False,
    )
    outputs = list(results.values())
    for output in outputs:
        times.walls_s += _gaps(output.timestamps)
    return {row.request.sample_id: output.generated_tokens for row, output in zip(work.rows, outputs, strict=True)}


def shared(work: Work, times: Times) -> Answers:
    """Mode shared's own batch."""
    return _roll(work, TimedBatch, times=times)


def flash(work: Work, times: Times) -> Answers:
    """Mode shared with `kernels.FlashStep` for every decode step."""
    return _roll(work, FlashBatch, times=times, captured=False)


def graph(work: Work, times: Times) -> Answers:
    """The same, each bucket of rows captured as a CUDA graph where there is a device."""
    return _roll(work, FlashBatch, times=times, captured=work.on_gpu)


def _roll(work: Work, kind: type[TimedBatch], **settings: Any) -> Answers:
    before = work.model.config._attn_implementation
    work.model.set_attn_implementation(attention.NAME)
    try:
        batch = kind(
            work.model,
            compute_prefix(work.model, work.rows[0].ids[: work.prefix]),
            work.rows,
            Generation(max_new_tokens=work.new),
            end_ids=(),
            stops=StopStrings((), lambda _: "", lambda _: ""),
            limits=Capacity(slots=len(work.rows), prefill_tokens=PREFILL_TOKENS),
            **settings,
        )
        return {answer.row.request.sample_id: list(answer.ids) for finished in batch.run() for answer in finished}
    finally:
        work.model.set_attn_implementation(before)


def _gaps(stamps: Sequence[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(stamps)]


def _nothing() -> None:
    """Most variants leave the engine as it is."""


VARIANTS: Mapping[str, tuple[Callable[[Work, Times], Answers], Callable[[], None]]] = {
    "naive": (naive, _nothing),
    "shared": (shared, _nothing),
    "grouped": (shared, use_grouped),
    "flash": (flash, use_flash),
    "graph": (graph, use_flash),
    "static": (static, _nothing),
    "cb": (continuous, _nothing),
}
"""How each generates, and what it changes in the engine of its process beforehand."""
