"""A rolling batch: rows leave when they finish and waiting ones take their places; the shared prefix exists once."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from wattrack.engines.constrained.constraint import Grammars, failure
from wattrack.engines.plain.decoding import Answer
from wattrack.engines.plain.stamps import TokenSampler
from wattrack.engines.rows import TextRow
from wattrack.engines.sharing.attention import Prefix, Step, running
from wattrack.engines.sharing.packing import forward, straight
from wattrack.engines.text.stops import StopStrings
from wattrack.schema import Generation

_ROUND_TOKENS = 64
"""The reach of a step's attention grows in such strides, so that kernels see few shapes."""


@dataclass(slots=True)
class Going:
    """One row while it is generated."""

    row: TextRow
    own: int
    """Its tokens whose keys and values are stored, prefix excluded."""
    generator: torch.Generator | None
    matcher: Any
    """Has read the answer but for its newest token; None = free decoding."""
    started_s: float
    started_unix_ms: int
    ids: list[int] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    stopped: bool = False
    beside: int = 1
    """Most rows that shared a step with this one."""

    def answer(self) -> Answer:
        """The row's tokens so far, with their times and why it ended."""
        return Answer(
            row=self.row,
            ids=self.ids,
            ended=self.stopped,
            times_s=self.times_s,
            batch_size=self.beside,
            started_unix_ms=self.started_unix_ms,
            failure=failure(self.matcher),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much one device holds at a time beside the weights."""

    slots: int
    """Rows generated at the same time."""
    prefill_tokens: int
    """Prompt tokens in one pass; a longer single prompt still gets a pass of its own."""


class RollingBatch:
    """Generates for rows of one prefix and one `Generation`, under `attention.sharing`."""

    def __init__(  # noqa: PLR0913
        self,
        model: Any,
        prefix: Prefix,
        rows: Sequence[TextRow],
        generation: Generation,
        *,
        end_ids: Sequence[int],
        stops: StopStrings,
        limits: Capacity,
        grammars: Grammars | None = None,
    ) -> None:
        """`rows` in the order in which they are admitted, each with a length of its own; `generation` says the rest.

        Buffers are allocated for the longest of them.
        """
        self._model = model
        self._prefix = prefix
        self._end_ids = frozenset(end_ids)
        self._stops = stops
        self._limits = limits
        self._grammars = grammars
        self._sampler = TokenSampler(generation.temperature, generation.top_p) if generation.temperature > 0 else None
        self._waiting = deque(rows)
        self._going: list[Going] = []
        self._slots = min(limits.slots, len(rows))
        self._capacity = max(len(row.ids) + row.new_tokens for row in rows) - prefix.length
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []
        self.computed_tokens = 0

    @property
    def unfinished(self) -> list[TextRow]:
        """Rows without an answer yet."""
        return [*(going.row for going in self._going), *self._waiting]

    def run(self) -> Iterator[list[Answer]]:
        """Yield rows as they finish, several at a time."""
        while self._going or self._waiting:
            # Admitting one row at a time would spend a pass on each; waiting for many would leave slots empty.
            if self._waiting and self._slots - len(self._going) >= max(1, self._slots // 8):
                self._admit()
            else:
                self._step()
            if finished := self._leave():
                yield [going.answer() for going in finished]

    def _admit(self) -> None:
        taken: list[TextRow] = []
        tokens = 0
        while self._waiting and len(taken) < self._slots - len(self._going):
            tokens += len(self._waiting[0].ids) - self._prefix.length
            if taken and tokens > self._limits.prefill_tokens:
                break
            taken.append(self._waiting.popleft())
        try:
            self._prefill(taken)
        except BaseException:
            self._waiting.extendleft(reversed(taken))
            raise

    def _prefill(self, rows: Sequence[TextRow]) -> None:
        started_s, started_unix_ms = time.perf_counter(), time.time_ns() // 1_000_000
        start = self._prefix.length
        own = [row.ids[start:] for row in rows]
        record = Prefix()
        logits, one = forward(self._model, [straight(ids, start) for ids in own], self._prefix, record)
        self._store(record, one.places, own)
        newcomers = [
            Going(
                row=row,
                own=len(ids),
                generator=self._generator(row, logits.device),
                matcher=None if self._grammars is None else self._grammars.begin(row.request),
                started_s=started_s,
                started_unix_ms=started_unix_ms,
            )
            for row, ids in zip(rows, own, strict=True)
        ]
        self.computed_tokens += sum(len(ids) for ids in own)
        self._take(newcomers, logits)
        # Last: where anything above fails, `_admit` puts the rows back, and they are here once.
        self._going += newcomers

    def _store(self, record: Prefix, places: Tensor, own: Sequence[Sequence[int]]) -> None:
        """Copy new rows' keys and values into the slots behind those in use."""
        first, width = len(self._going), places.shape[1]
        if not self._keys:
            for key, value in zip(record.keys, record.values, strict=True):
                # Zeros, not garbage: a masked place still meets a weight of zero, and 0 x NaN is NaN.
                self._keys.append(key.new_zeros(self._slots, key.shape[1], self._capacity, key.shape[3]))
                self._values.append(value.new_zeros(self._slots, value.shape[1], self._capacity, value.shape[3]))
        last = first + len(own)
        for layer, (key, value) in enumerate(zip(record.keys, record.values, strict=True)):
            self._keys[layer][first:last, :, :width] = key[0][:, places].transpose(0, 1)
            self._values[layer][first:last, :, :width] = value[0][:, places].transpose(0, 1)

    def _step(self) -> None:
        device = self._model.device
        own = [going.own for going in self._going]
        lengths = torch.tensor(own, device=device)
        longest = min(self._capacity, -(-(max(own) + 1) // _ROUND_TOKENS) * _ROUND_TOKENS)
        hidden = torch.arange(longest, device=device)[None] > lengths[:, None]
        bias = torch.zeros(hidden.shape, device=device).masked_fill_(hidden, float("-inf"))[:, None, None]
        step = Step(self._prefix, self._keys, self._values, lengths, bias)
        newest = torch.tensor([[going.ids[-1]] for going in self._going], device=device)
        positions = lengths[:, None] + self._prefix.length
        with torch.inference_mode(), running(step):
            logits = self._model(input_ids=newest, position_ids=positions, use_cache=False, logits_to_keep=1).logits
        for going in self._going:
            going.own += 1
        self.computed_tokens += len(self._going)
        self._take(self._going, logits[:, -1])

    def _take(self, rows: Sequence[Going], logits: Tensor) -> None:
        """Choose the next token of each row; logits is (rows, vocabulary)."""
        scores = logits
        if self._grammars is not None:
            newest = [row.ids[-1] if row.ids else None for row in rows]
            scores = self._grammars.masked(scores, [row.matcher for row in rows], newest)
        if self._sampler is not None:
            scores = self._sampler.noisy(scores.float(), [row.generator for row in rows])
        chosen = scores.max(-1).indices.tolist()  # the first of equals, as argmax, several times faster on CPUs
        now_s = time.perf_counter()
        for row, token in zip(rows, chosen, strict=True):
            row.ids.append(token)
            row.times_s.append(round(now_s - row.started_s, 6))
            row.beside = max(row.beside, len(rows))
            row.stopped = token in self._end_ids or (bool(self._stops) and self._stops.completed(row.ids))

    def _leave(self) -> list[Going]:
        """Take finished rows out; the last rows in use move into their slots."""
        finished = []
        for slot in range(len(self._going) - 1, -1, -1):
            going = self._going[slot]
            if not going.stopped and len(going.ids) < going.row.new_tokens:
                continue
            finished.append(going)
            last = self._going.pop()
            if slot < len(self._going):
                self._going[slot] = last
                self._move(len(self._going), slot, last.own)
        return finished[::-1]

    def _move(self, source: int, target: int, length: int) -> None:
        for buffer in (*self._keys, *self._values):
            buffer[target, :, :length] = buffer[source, :, :length]

    def _generator(self, row: TextRow, device: torch.device) -> torch.Generator | None:
        return None if self._sampler is None else self._sampler.generator(row.request.seed, device)
