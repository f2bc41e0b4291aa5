"""Length-sorted batches that survive: halved when memory runs out, retried row by row on other failures."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from wattrack.answering import ErrorKind, Usage
from wattrack.errors import EngineError, WattrackError
from wattrack.schema import ChoiceRequest, Request, Response

log = logging.getLogger(__name__)

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")
_BROKEN_AFTER = 3
"""Single rows failing one after the other, without any success, that prove the engine itself broken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request, rendered and tokenised."""

    request: Request
    ids: tuple[int, ...]
    """Prompt ids including special tokens, without padding."""
    prompt_text: str
    """The ids decoded again: what the model reads, special tokens shown."""

    @property
    def new_tokens(self) -> int:
        """The most that it may be answered with."""
        return self.request.generation.max_new_tokens


class Tokenised(Protocol):
    """What batching needs to know of a row."""

    @property
    def request(self) -> Request | ChoiceRequest:
        """What was asked."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Its tokens, or the longest of its alternatives."""

    @property
    def prompt_text(self) -> str:
        """The prompt as the model reads it."""


R = TypeVar("R", bound=Tokenised)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Why a batch failed, as text: keeping the exception would keep its tensors alive."""

    reason: str
    out_of_memory: bool


def failed(
    request: Request | ChoiceRequest, reason: str, *, row: Tokenised | None = None, kind: ErrorKind = "broken"
) -> Response:
    """The Response of a request that could not be answered."""
    return Response(
        sample_id=request.sample_id,
        repeat=request.repeat,
        text="",
        finish_reason="error",
        usage=Usage(input_tokens=len(row.ids) if row else 0, output_tokens=0),
        error=reason,
        error_kind=kind,
        prompt_text=row.prompt_text if row else "",
    )


def one_line(error: BaseException) -> str:
    """Type and message of an exception on one line of bounded length."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that device or host memory ran out, whichever library says it."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _OUT_OF_MEMORY)


class Batcher:
    """Hands rows to a decoder, longest first, so that running out of memory shows at the start.

    `size` only shrinks, and it stays small for later calls.
    """

    def __init__(self, size: int, release: Callable[[], None]) -> None:
        """`release` frees cached device memory; called after running out of memory."""
        self.size = size
        self.halvings: list[str] = []
        """One line for each time `size` shrank."""
        self._release = release
        self._failed_in_a_row = 0
        self._any_success = False

    def run(
        self,
        rows: Sequence[R],
        decode: Callable[[Sequence[R]], list[Response]],
        weigh: Callable[[R], int] = lambda row: 0,
        budget: int = 0,
    ) -> Iterator[Response]:
        """Yield one Response per row as batches finish.

        A batch also ends before its rows' `weigh` exceed `budget` (a single row is always taken).

        Raises:
            EngineError: when nothing works at all, or the device was lost.
        """
        queue = deque(sorted(rows, key=lambda row: -len(row.ids)))
        alone = 0  # rows at the head of the queue that are retried one by one
        while queue:
            batch = _take(queue, 1 if alone else self.size, weigh, budget)
            size = len(batch)
            alone = max(0, alone - 1)
            result = self._attempt(batch, decode)
            if not isinstance(result, _Failure):
                yield from result
                continue
            if result.out_of_memory:
                self._release()
            if size == 1:
                yield self._give_up(batch[0], result)
                continue
            queue.extendleft(reversed(batch))
            if result.out_of_memory:
                self._halve(size)
            else:
                alone = size

    def _attempt(
        self, batch: Sequence[R], decode: Callable[[Sequence[R]], list[Response]]
    ) -> list[Response] | _Failure:
        try:
            responses = decode(batch)
        except WattrackError:
            raise
        except Exception as e:
            reason, out_of_memory = one_line(e), is_out_of_memory(e)
            if not out_of_memory and "CUDA error" in str(e):
                raise EngineError(f"the CUDA device failed; this process cannot use it any more: {reason}") from e
            first = not out_of_memory and self._failed_in_a_row == 0
            log.warning("a batch of %d failed: %s", len(batch), reason, exc_info=first)
            return _Failure(reason=reason, out_of_memory=out_of_memory)
        self._any_success, self._failed_in_a_row = True, 0
        return responses

    def _halve(self, size: int) -> None:
        self.size = max(1, size // 2)
        self.halvings.append(f"batch_size {size} -> {self.size}: out of memory")
        log.warning("out of memory with %d rows: continuing with batches of %d", size, self.size)

    def _give_up(self, row: Tokenised, failure: _Failure) -> Response:
        if failure.out_of_memory:
            return failed(row.request, f"out of memory at batch size 1: {failure.reason}", row=row)
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= _BROKEN_AFTER and not self._any_success:
            raise EngineError(f"the first {self._failed_in_a_row} questions all failed; last: {failure.reason}")
        return failed(row.request, failure.reason, row=row)


def _take(queue: deque[R], size: int, weigh: Callable[[R], int], budget: int) -> list[R]:
    batch = [queue.popleft()]
    weight = weigh(batch[0])
    while queue and len(batch) < size:
        weight += weigh(queue[0])
        if weight > budget:
            break
        batch.append(queue.popleft())
    return batch
