"""Length-sorted batches that survive: halved when memory runs out, retried row by row on other failures."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from wattrack.engines.rows import Tokenised, failed, is_out_of_memory, one_line
from wattrack.errors import EngineError, WattrackError
from wattrack.schema import Response

log = logging.getLogger(__name__)

_BROKEN_AFTER = 3
"""Single rows failing one after the other, without any success, that prove the engine itself broken."""


R = TypeVar("R", bound=Tokenised)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """Why a batch failed, as text: keeping the exception would keep its tensors alive."""

    reason: str
    out_of_memory: bool


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
