"""Hooks into transformers' generate(): token time stamps, stop strings per row, sampling pure per request."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from transformers import LogitsProcessor, StoppingCriteria, TopPLogitsWarper
from transformers.generation.streamers import BaseStreamer

from wattrack.engines.text.stops import StopStrings


class StampStreamer(BaseStreamer):
    """Notes when each step's tokens arrive on the host.

    generate() hands over the prompt first (dropped), then one token per row and step. The tensor is on the
    host already, so on CUDA the device has finished the step: the stamp is an arrival, not a dispatch.
    """

    def __init__(self) -> None:
        """The clock starts here: create it right before generate()."""
        self.start_s = time.perf_counter()
        self.stamps_s: list[float] = []
        """perf_counter of each step."""
        self._prompt_seen = False
        self._newest: torch.Tensor | None = None

    def put(self, value: torch.Tensor) -> None:
        """One step's tokens, shape (batch,), or first the prompt."""
        if self._prompt_seen:
            self.stamps_s.append(time.perf_counter())
            self._newest = value
        self._prompt_seen = True

    def end(self) -> None:
        """Nothing is held back."""

    def newest(self) -> list[int] | None:
        """The latest step's tokens by row; None before the first."""
        return None if self._newest is None else self._newest.tolist()

    def since_start_s(self, steps: int) -> tuple[float, ...]:
        """Stamps of the first `steps` steps in seconds after the start, to the microsecond."""
        return tuple(round(stamp - self.start_s, 6) for stamp in self.stamps_s[:steps])


class StopRows(StoppingCriteria):
    """Stops each row on its own: as soon as its new tokens hold a stop string, and at its own length."""

    def __init__(self, stops: StopStrings, lengths: Sequence[int], end_ids: Sequence[int]) -> None:
        """`lengths` are each row's most new tokens; a row that met one of `end_ids` is not looked at again."""
        self.stopped_after: list[int | None] = [None] * len(lengths)
        """New tokens of each row up to and including the one that completed a stop string."""
        self._stops = stops
        self._lengths = lengths
        self._end_ids = frozenset(end_ids)
        self._new: list[list[int]] = [[] for _ in lengths]
        self._live = set(range(len(lengths)))

    def __call__(self, input_ids: torch.LongTensor, scores: object, **kwargs: Any) -> torch.BoolTensor:
        """Flags of shape (batch,): True for rows that are finished."""
        newest = input_ids[:, -1].tolist()
        for i in tuple(self._live):
            self._new[i].append(newest[i])
            if newest[i] in self._end_ids:
                self._live.discard(i)
            elif self._stops and self._stops.completed(self._new[i]):
                self.stopped_after[i] = len(self._new[i])
                self._live.discard(i)
            elif len(self._new[i]) >= self._lengths[i]:
                self._live.discard(i)
        flags = [i not in self._live for i in range(len(self._lengths))]
        return torch.tensor(flags, dtype=torch.bool, device=input_ids.device)  # type: ignore[return-value]


class TokenSampler:
    """Draws each row's token with the row's own generator, so that an answer depends on its seed, never on its batch.

    Gumbel noise of the row's own on its scaled logits: the argmax is exactly a draw from softmax(logits / temperature)
    over the top-p set. CPU and CUDA draw differently for the same seed.
    """

    def __init__(self, temperature: float, top_p: float) -> None:
        """Temperature above zero; top_p 1 keeps every token."""
        self._temperature = temperature
        self._top_p = TopPLogitsWarper(top_p) if top_p < 1.0 else None

    @staticmethod
    def generator(seed: int, device: torch.device) -> torch.Generator:
        """A row's own source of noise."""
        return torch.Generator(device).manual_seed(seed % 2**63)

    def noisy(self, scores: torch.Tensor, generators: Sequence[torch.Generator | None]) -> torch.Tensor:
        """Scores whose argmax is the draw; (rows, vocabulary), fp32."""
        scaled: torch.Tensor = scores / self._temperature
        if self._top_p is not None:
            scaled = self._top_p(torch.empty(0), scaled)  # it looks at scores alone
        tiny = torch.finfo(scaled.dtype).tiny
        for row, generator in zip(scaled, generators, strict=True):
            row -= torch.empty_like(row).exponential_(generator=generator).clamp_min_(tiny).log_()
        return scaled


class SeededSampler(LogitsProcessor):
    """A `TokenSampler` for generate(), whose own random state depends on the other rows: it then takes the argmax."""

    def __init__(self, temperature: float, top_p: float, seeds: Sequence[int], device: torch.device) -> None:
        """One seed per row of the batch."""
        self._sampler = TokenSampler(temperature, top_p)
        self._generators = [self._sampler.generator(seed, device) for seed in seeds]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores whose argmax is the draw; shape (batch, vocabulary)."""
        return self._sampler.noisy(scores, self._generators)  # type: ignore[return-value]
