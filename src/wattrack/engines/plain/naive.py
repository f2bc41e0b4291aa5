"""Mode `naive`: plain batched generate() and forward passes, nothing shared; the reference for answers and energy."""

import logging
from collections.abc import Iterator, Sequence
from functools import partial

from wattrack.engines.plain.batching import Batcher
from wattrack.engines.plain.choices import score_naive
from wattrack.engines.plain.decoding import Decoding, decode_batch
from wattrack.engines.rows import ChoiceRow, TextRow, one_line
from wattrack.engines.weights import ropes
from wattrack.engines.weights.loaded import Loaded
from wattrack.schema import Response

log = logging.getLogger(__name__)

_LOGITS_BYTES = 2**30
_COMPILER_MODULES = ("torch._dynamo", "torch._inductor", "triton")


class NaiveMode:
    """Length-sorted padded batches in which every position of every row is computed.

    Where a model's rotary embeddings depend on length, what grows long is computed alone.
    """

    def __init__(self, loaded: Loaded, batcher: Batcher) -> None:
        """`batcher` owns the batch size and survives what fails."""
        self._loaded = loaded
        self._batcher = batcher
        self._alike_up_to = ropes.limit(loaded.model)
        self.computed_tokens = 0

    def generate(self, rows: Sequence[TextRow], plan: Decoding) -> Iterator[Response]:
        """One Response per row as batches finish."""
        lengths = [(len(row.ids), row.new_tokens) for row in rows]
        most, fallbacks = self._alike_up_to, self._loaded.effective.fallbacks
        line = f"batches -> single rows beyond {most} tokens: rotary embeddings depend on the longest text"
        if most is not None and line not in fallbacks and any(sum(length) > most for length in lengths):
            fallbacks.append(line)
        for some in ropes.apart(lengths, most):
            yield from self._batcher.run([rows[i] for i in some], partial(self._decode, plan))

    def score(self, questions: Sequence[ChoiceRow]) -> Iterator[Response]:
        """One Response with log-probabilities per question."""
        model = self._loaded.model
        vocabulary = model.config.get_text_config(decoder=True).vocab_size
        # A plain pass makes the logits of every place: they, not the rows, are what fills the memory.
        places = _LOGITS_BYTES // (vocabulary * model.dtype.itemsize)
        yield from self._batcher.run(questions, self._score, _places, places)

    def _score(self, batch: Sequence[ChoiceRow]) -> list[Response]:
        responses = score_naive(self._loaded.model, batch, self._loaded.pad_id)
        self.computed_tokens += sum(len(option.ids) - 1 for question in batch for option in question.options)
        return responses

    def _decode(self, plan: Decoding, batch: Sequence[TextRow]) -> list[Response]:
        loaded = self._loaded
        ropes.forget(loaded.model)
        try:
            responses = decode_batch(loaded, plan, batch)
        except Exception as e:
            # A static cache compiles the model on CUDA: where that fails, the same batch runs uncompiled.
            if plan.config.disable_compile or not type(e).__module__.startswith(_COMPILER_MODULES):
                raise
            fallbacks = loaded.effective.fallbacks
            fallbacks.append(f"compiled decoding -> uncompiled: {one_line(e)[:120]}")
            log.warning("%s", fallbacks[-1])
            loaded.effective.cache["disable_compile"] = plan.config.disable_compile = True
            responses = decode_batch(loaded, plan, batch)
        for row, response in zip(batch, responses, strict=True):
            self.computed_tokens += len(row.ids) + (response.usage.output_tokens or 0) - 1
        return responses


def _places(question: ChoiceRow) -> int:
    return len(question.options) * len(question.ids)
