"""Constrained decoding: the tokens that a row may take next when its answer must keep to a JSON Schema (llguidance).

Every row has a matcher that has read its answer so far. A step's masks are computed after the step was handed to the
device and before its logits are looked at, by as many threads as torch has, so that on a GPU they cost time only where
they take longer than the step. The order of an object's keys is the schema's. Between the tokens of JSON stands
nothing, one blank, or a line break with an indentation.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import LogitsProcessor, PreTrainedTokenizerFast

from wattrack.engines.constrained.grammar import library, require, rewritten
from wattrack.engines.rows import one_line
from wattrack.errors import EngineError
from wattrack.schema import Request
from wattrack.scorers import reasoning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BLANKS = r" |\n {0,32}|\n\t{0,8}"
"""As every usual way of writing JSON has them; a weak model would write blanks until it is cut."""


class Grammars:
    """The grammars of one tokenizer's answers."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", end_ids: Sequence[int], vocabulary: int) -> None:
        """`vocabulary` is the width of the model's logits, which may be more than the tokenizer has.

        Raises:
            EngineError: the package is missing, or the tokenizer cannot be used; one line.
        """
        require()
        from llguidance import LLExecutor
        from llguidance.hf import from_tokenizer

        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise EngineError(
                f"constrained decoding needs a fast tokenizer (tokenizer.json), and this model has a "
                f"{type(tokenizer).__name__}: choose a protocol with free decoding"
            )
        _check_ends(tokenizer, end_ids)
        try:
            self._tokenizer = from_tokenizer(tokenizer, n_vocab=max(vocabulary, len(tokenizer)), eos_token=[*end_ids])
        except (ValueError, RuntimeError) as e:
            raise EngineError(f"constrained decoding: llguidance cannot use this tokenizer: {one_line(e)}") from e
        threads = torch.get_num_threads()
        self._executor = LLExecutor(num_threads=threads) if threads > 1 else None
        self._words = -(-self._tokenizer.vocab_size // 32)
        self._left: dict[str, set[str]] = {}

    @property
    def label(self) -> str:
        """What constrained the answers so far, and what it did not hold them to."""
        texts = (f"{keyword} (schemas: {len(schemas)})" for keyword, schemas in sorted(self._left.items()))
        return f"{library()}, JSON Schema; not enforced: {', '.join(texts) or 'nothing'}"

    def problem(self, request: Request, prompt_text: str = "") -> str | None:
        """Why this request must not be answered under its constraint, or None; the schema itself is for `begin`."""
        if request.constraint is None:
            return None
        if request.generation.stop or request.generation.fixed_length:
            return "a constrained answer ends where its schema says: no stop strings, no fixed length"
        if reasoning.read("", prompt_text).unfinished:
            return "the chat template opens a reasoning block, in which a constrained answer would be no answer"
        return None

    def check(self, requests: Iterable[Request]) -> None:
        """EngineError names the first request that cannot be constrained, and how many there are."""
        found = [(r.sample_id, why) for r in requests if (why := self.problem(r) or failure(self.begin(r))) is not None]
        if found:
            sample_id, why = found[0]
            more = f" ({len(found)} such questions)" if len(found) > 1 else ""
            raise EngineError(f"{sample_id}: {why}{more}; choose a protocol with free decoding")

    def begin(self, request: Request) -> Any:
        """The matcher of an answer that begins; None where the request is free."""
        if request.constraint is None:
            return None
        from llguidance import LLMatcher

        grammar, left = self._grammar(request)
        for keyword in left:
            self._left.setdefault(keyword, set()).add(grammar)
        return LLMatcher(self._tokenizer, grammar, log_level=0)

    def masked(self, scores: Tensor, matchers: Sequence[Any], newest: Sequence[int | None]) -> Tensor:
        """The scores with -inf for every token that a row may not take.

        Args:
            scores: (rows, vocabulary).
            matchers: one for each row; None = the row is free, or its answer has ended.
            newest: the token that each row took last, which its matcher has not read yet; None at its beginning.
        """
        live = [(matcher, row) for row, matcher in enumerate(matchers) if matcher is not None]
        if not live:
            return scores
        for matcher, row in live:
            if (token := newest[row]) is not None:
                matcher.consume_token(token)
        words = torch.full((len(matchers), self._words), -1, dtype=torch.int32)
        if self._executor is not None and len(live) > 1:
            self._executor.unsafe_compute_mask_ptr(live, words.data_ptr(), 4 * self._words, len(matchers))
        else:  # handing a mask to another thread takes longer than making it
            for matcher, row in live:
                matcher.unsafe_compute_mask_ptr(words[row].data_ptr(), 4 * self._words)
        # Little-endian words, bit i of byte j is token 8 j + i.
        octets = words.view(torch.uint8).to(scores.device)
        bits = octets[:, :, None] >> torch.arange(8, dtype=torch.uint8, device=scores.device) & 1
        forbidden = (bits == 0).view(len(matchers), -1)[:, : scores.shape[-1]]
        return scores.masked_fill(forbidden, float("-inf"))

    def _grammar(self, request: Request) -> tuple[str, tuple[str, ...]]:
        from llguidance import LLMatcher

        assert request.constraint is not None
        schema, left = rewritten(request.constraint)
        return LLMatcher.grammar_from_json_schema(
            schema, overrides={"whitespace_pattern": _BLANKS, "json_allow_general_unicode_escapes": True}
        ), left


class ConstraintProcessor(LogitsProcessor):
    """`Grammars.masked` for generate(): one matcher per row of the batch."""

    def __init__(
        self, grammars: Grammars, matchers: Sequence[Any], lengths: Sequence[int], end_ids: Sequence[int], newest: Any
    ) -> None:
        """`lengths` are each row's most new tokens: what generate() adds to a shorter row is no part of its answer.

        `newest` gives the tokens of the latest step from the host, so that the device need not be waited for.
        """
        self._grammars = grammars
        self._live = list(matchers)
        self._left = list(lengths)
        self._end_ids = frozenset(end_ids)
        self._newest = newest

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores of shape (batch, vocabulary); rows that have ended are left alone."""
        newest = self._newest() or [None] * len(self._live)
        self._live = [
            None if token in self._end_ids or not left else matcher
            for matcher, token, left in zip(self._live, newest, self._left, strict=True)
        ]
        self._left = [max(0, left - 1) for left in self._left]
        return self._grammars.masked(scores, self._live, newest)  # type: ignore[return-value]


def failure(matcher: Any) -> str | None:
    """Why a matcher has no answer: the schema has a keyword that the library refuses, or it ran over its limits."""
    if matcher is None or not matcher.is_error():
        return None
    return f"its schema cannot constrain decoding: {' '.join(matcher.get_error().split())[:200]}"


def _check_ends(tokenizer: "PreTrainedTokenizerBase", end_ids: Sequence[int]) -> None:
    if not end_ids:
        raise EngineError("constrained decoding needs a model with an end token: nothing else can end an answer")
    marks = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    if text := [token for token in end_ids if token not in marks]:
        raise EngineError(
            f"constrained decoding: token {text[0]} ({tokenizer.convert_ids_to_tokens(text[0])!r}) ends answers and is "
            "text as well, so no grammar can tell the two apart; choose a protocol with free decoding"
        )
