"""The engine's rolling batch with a clock on every step, and with a decode step of our own that can be captured."""

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from kernels import FlashStep
from torch import Tensor

from wattrack.engines.sharing.attention import running
from wattrack.engines.sharing.rolling import RollingBatch


@dataclass(slots=True)
class Times:
    """Seconds of every step."""

    walls_s: list[float] = field(default_factory=list)
    """Between two tokens of a row, or of a whole step."""
    issues_s: list[float] = field(default_factory=list)
    """Until the host had handed the step to the device; empty where the variant's loop is not ours."""
    gpus_s: list[float] = field(default_factory=list)
    """Between two events on the device; empty on a CPU."""


class TimedBatch(RollingBatch):
    """Mode shared as it is."""

    def __init__(self, *arguments: Any, times: Times, **settings: Any) -> None:
        """`times` receives what is measured."""
        super().__init__(*arguments, **settings)
        self._times = times
        self._issued_s = 0.0
        self._end: Any = None

    def _step(self) -> None:
        on_gpu = self._model.device.type == "cuda"
        begin = torch.cuda.Event(enable_timing=True) if on_gpu else None
        self._end = torch.cuda.Event(enable_timing=True) if on_gpu else None
        started_s = time.perf_counter()
        if begin is not None:
            begin.record()
        self._advance()
        self._times.walls_s.append(time.perf_counter() - started_s)
        self._times.issues_s.append(self._issued_s - started_s)
        if begin is not None:
            self._times.gpus_s.append(begin.elapsed_time(self._end) / 1e3)

    def _advance(self) -> None:
        super()._step()

    def _take(self, rows: Any, logits: Tensor) -> None:
        self._issued_s = time.perf_counter()
        if self._end is not None:
            self._end.record()
        super()._take(rows, logits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bucket:
    """A decode step for up to so many rows: tensors that stay, and what reads them."""

    inputs: Tensor
    """(2, rows): newest tokens, and own tokens before them; rows that are not in use have zeros."""
    step: FlashStep
    graph: Any
    """A captured `torch.cuda.CUDAGraph`, or None."""
    logits: Tensor | None
    """What the graph fills."""


class FlashBatch(TimedBatch):
    """Decodes with `FlashStep`, in buckets of rows that are powers of two, or all slots."""

    def __init__(self, *arguments: Any, captured: bool, **settings: Any) -> None:
        """`captured`: each bucket becomes a CUDA graph at its first step, and that takes part of the run's time."""
        super().__init__(*arguments, **settings)
        self._captured = captured
        self._buckets: dict[int, _Bucket] = {}

    def _advance(self) -> None:
        rows = len(self._going)
        size = min(self._slots, 1 << (rows - 1).bit_length())
        unused = [0] * (size - rows)
        newest, own = [going.ids[-1] for going in self._going], [going.own for going in self._going]
        host = torch.tensor([newest + unused, own + unused])
        if size not in self._buckets:
            self._buckets[size] = self._bucket(host.to(self._model.device))
        bucket = self._buckets[size]
        bucket.inputs.copy_(host)
        if bucket.graph is None or bucket.logits is None:
            logits = self._logits(bucket.inputs, bucket.step)
        else:
            bucket.graph.replay()
            logits = bucket.logits
        for going in self._going:
            going.own += 1
        self.computed_tokens += rows
        self._take(self._going, logits[:rows, -1])

    def _bucket(self, inputs: Tensor) -> _Bucket:
        step = FlashStep(self._prefix, self._keys, self._values, inputs[1])
        if not self._captured:
            return _Bucket(inputs=inputs, step=step, graph=None, logits=None)
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):  # kernels choose their work space in the first passes, which a capture forbids
                self._logits(inputs, step)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            logits = self._logits(inputs, step)
        return _Bucket(inputs=inputs, step=step, graph=graph, logits=logits)

    def _logits(self, inputs: Tensor, step: FlashStep) -> Tensor:
        positions = inputs[1][:, None] + self._prefix.length
        with torch.inference_mode(), running(step):
            output = self._model(
                input_ids=inputs[0][:, None], position_ids=positions, use_cache=False, logits_to_keep=1
            )
        logits: Tensor = output.logits
        return logits
