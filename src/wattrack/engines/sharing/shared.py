"""Mode `shared`: common beginnings computed once, rows packed without padding, a rolling batch while generating."""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from wattrack.answering import Timing
from wattrack.engines.plain.batching import Batcher
from wattrack.engines.plain.decoding import Decoding, respond
from wattrack.engines.plain.naive import NaiveMode
from wattrack.engines.rows import ChoiceRow, TextRow, is_out_of_memory, one_line
from wattrack.engines.sharing.attention import Prefix, sharing
from wattrack.engines.sharing.choices import score_packed
from wattrack.engines.sharing.packing import compute_prefix
from wattrack.engines.sharing.prefixes import PASS_OVERHEAD_TOKENS, group
from wattrack.engines.sharing.rolling import Capacity, RollingBatch
from wattrack.engines.weights.loaded import Loaded
from wattrack.schema import Response

log = logging.getLogger(__name__)

STEP_OVERHEAD_TOKENS = 16
"""What a decoding step costs besides its rows, in prompt tokens: the weights are read for a few rows or for many."""
_ANY_NUMBER = 2**30
"""Of questions in one pass: their tokens are what is limited."""


class SharedMode:
    """Same answers as `NaiveMode` up to rounding, for models that `sharable.why_not` lets pass."""

    def __init__(self, loaded: Loaded, limits: Capacity, naive: NaiveMode, release: Callable[[], None]) -> None:
        """`limits` shrink when memory runs out; `release` frees cached device memory then; `naive` takes the rest."""
        self._loaded = loaded
        self._naive = naive
        self.limits = limits
        self._release = release
        self._batcher = Batcher(_ANY_NUMBER, release)
        self.halvings: list[str] = []
        """One line for each time something shrank."""
        self.computed_tokens = 0
        self.shared_tokens = 0
        """Prompt tokens that were not computed because another row's were used."""

    def generate(self, rows: Sequence[TextRow], plan: Decoding) -> Iterator[Response]:
        """One Response per row as they finish; of identical greedy rows one is computed, the others get its text.

        Repeats are computed each: whoever asks for them wants their time and energy too.
        """
        same: dict[tuple[object, ...], list[TextRow]] = defaultdict(list)
        for number, row in enumerate(rows):
            # Sampled rows differ by their seeds: each is its own. The order of a schema's keys matters.
            alike = (row.request.repeat, row.new_tokens, row.ids, json.dumps(row.request.constraint))
            same[alike if plan.generation.temperature <= 0 else (number,)].append(row)
        firsts = [equal[0] for equal in same.values()]
        others = {_key(equal[0]): equal[1:] for equal in same.values()}
        # Groups are generated one after the other: one more is worth it only if it saves more than its steps cost.
        steps = STEP_OVERHEAD_TOKENS * plan.generation.max_new_tokens
        for one in group([row.ids[:-1] for row in firsts], PASS_OVERHEAD_TOKENS + steps):
            some = sorted((firsts[i] for i in one.rows), key=lambda row: -len(row.ids))
            for row, response in self._rolling(some, one.prefix, plan):
                yield response
                for other in others[_key(row)]:
                    self.shared_tokens += len(other.ids)
                    # Nothing was computed for it alone: a copy of an answer has no times of its own.
                    yield replace(
                        response,
                        sample_id=other.request.sample_id,
                        repeat=other.request.repeat,
                        timing=Timing(sent_unix_ms=response.timing.sent_unix_ms),
                    )

    def score(self, questions: Sequence[ChoiceRow]) -> Iterator[Response]:
        """One Response with log-probabilities per question."""
        for one in group([question.shareable for question in questions]):
            some = [questions[i] for i in one.rows]
            with sharing(self._loaded):
                prefix = self._prefix(some[0].options[0].ids[: one.prefix], len(some))
                if prefix is not None:
                    yield from self._score(some, prefix)
            if prefix is None:
                yield from self._naive.score(some)

    def _score(self, questions: Sequence[ChoiceRow], prefix: Prefix) -> Iterator[Response]:
        def decode(batch: Sequence[ChoiceRow]) -> list[Response]:
            responses = score_packed(self._loaded.model, batch, prefix)
            self.computed_tokens += sum(question.packed_tokens(prefix.length) for question in batch)
            return responses

        yield from self._batcher.run(
            questions, decode, lambda question: question.packed_tokens(prefix.length), self.limits.prefill_tokens
        )

    def _prefix(self, ids: Sequence[int], rows: int, *, again: bool = True) -> Prefix | None:
        """The common beginning of so many rows; None = it fails, out of memory twice: mode naive takes them."""
        try:
            prefix = compute_prefix(self._loaded.model, ids)
        except (RuntimeError, MemoryError) as e:
            if not again or not is_out_of_memory(e):
                self._hand_over(e, rows)
                return None
            log.warning("out of memory with a common beginning of %d tokens: trying once more", len(ids))
        else:
            self.computed_tokens += len(ids)
            self.shared_tokens += len(ids) * (rows - 1)
            return prefix
        self._release()  # here, where the exception no longer keeps its tensors
        return self._prefix(ids, rows, again=False)

    def _rolling(self, rows: Sequence[TextRow], shared: int, plan: Decoding) -> Iterator[tuple[TextRow, Response]]:
        """Generate for rows of one prefix; what runs out of memory starts again with half as many rows."""
        left: Sequence[TextRow] = rows
        broken = False
        with sharing(self._loaded):
            prefix = self._prefix(rows[0].ids[:shared], len(rows))
            while left and prefix is not None and not broken:
                batch, before = self._batch(prefix, left, plan), self.computed_tokens
                try:
                    for finished in batch.run():
                        self.computed_tokens = before + batch.computed_tokens  # whoever looks now sees all so far
                        for answer in finished:
                            yield answer.row, respond(self._loaded, plan, answer)
                except (RuntimeError, MemoryError) as e:
                    broken = self._shrink(e, len(batch.unfinished))
                finally:
                    self.computed_tokens = before + batch.computed_tokens
                left = batch.unfinished
        if left:
            by_key = {_key(row): row for row in left}
            for response in self._naive.generate(left, plan):
                yield by_key[response.sample_id, response.repeat], response

    def _batch(self, prefix: Prefix, rows: Sequence[TextRow], plan: Decoding) -> RollingBatch:
        return RollingBatch(
            self._loaded.model,
            prefix,
            rows,
            plan.generation,
            end_ids=plan.end_ids,
            stops=plan.stops,
            limits=self.limits,
            grammars=plan.grammars,
        )

    def _shrink(self, error: Exception, left: int) -> bool:
        """Halve the limits after running out of memory; True = that does not help, so mode naive takes the rest."""
        slots = min(self.limits.slots, left)
        if not is_out_of_memory(error) or slots <= 1:
            self._hand_over(error, left)
            return True
        self._release()
        self.limits = Capacity(slots=slots // 2, prefill_tokens=max(1, self.limits.prefill_tokens // 2))
        self.halvings.append(f"batch_size {slots} -> {slots // 2}: out of memory")
        log.warning("out of memory with %d rows: continuing with %d", slots, slots // 2)
        return False

    def _hand_over(self, error: Exception, left: int) -> None:
        """Note that mode naive takes so many, and why."""
        log.warning("mode naive answers the remaining %d: %s", left, one_line(error), exc_info=True)
        self.halvings.append(f"{left} answers by mode naive: {one_line(error)[:120]}")


def _key(row: TextRow) -> tuple[str, int]:
    return row.request.sample_id, row.request.repeat
