"""Which of an answer's tokens are reasoning: counted on the generated ids, so that stored answers need no tokenizer.

A token is reasoning where its text holds a character of it: up to the token that completes the closing mark, or from
the one in which a block begins that never closes. Runs once for each finished answer, never while its tokens come.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from wattrack.scorers import reasoning


class Marks:
    """A tokenizer's reasoning marks, and its text of new tokens with them."""

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is asked once which of its own tokens are marks."""
        self._tokenizer = tokenizer
        vocabulary = getattr(tokenizer, "get_added_vocab", tokenizer.get_vocab)()
        self._ids: dict[str, int] = {text: token for text, token in vocabulary.items() if reasoning.is_mark(text)}
        # Special tokens are dropped from texts: Mistral's marks are special, Qwen3's are added tokens like any other.
        self._dropped = {token: text for text, token in self._ids.items() if not self._plain([token])}

    def text(self, ids: Sequence[int]) -> str:
        """The ids as text, special tokens left out unless they are marks."""
        if not self._dropped or self._dropped.keys().isdisjoint(ids):
            return self._plain(ids)
        parts = [(mark, list(some)) for mark, some in groupby(ids, self._dropped.get)]
        return "".join(self._plain(some) if mark is None else mark * len(some) for mark, some in parts)

    def thinking_tokens(self, ids: Sequence[int], text: str, prompt: str) -> int:
        """How many of `ids` are reasoning; an end token is part of the answer unless a block never closes.

        Args:
            ids: the new tokens.
            text: what they say, up to a stop string.
            prompt: the rendered prompt, which may end with an opening mark.
        """
        reply = reasoning.read(text, prompt)
        if not reply.thinking_chars:
            return 0
        if reply.unfinished and not reply.answer:
            return len(ids)
        first, last = 0, len(ids)
        if reply.closing:
            first = self._holding(ids, text, reply.closing, reply.start, len(reply.closing))
        if reply.opening:
            begin = reply.start + len(reply.answer)
            last = self._holding(ids, text, reply.opening, begin + len(reply.opening), 1) - 1
        return len(ids) - max(0, last - first)

    def _holding(self, ids: Sequence[int], text: str, mark: str, end: int, characters: int) -> int:
        """The fewest ids whose text holds so many characters of the mark that ends at `end` of `text`."""
        begin = end - len(mark)
        places = [place for place, token in enumerate(ids, start=1) if token == self._ids.get(mark)]
        # Where it is always one token and never spelled, the n-th mark of the text is the n-th such token.
        if places and len(places) == self.text(ids).count(mark):
            return places[text.count(mark, 0, begin)]
        head = text[: begin + characters]
        return bisect_left(range(len(ids)), True, key=lambda count: self.text(ids[:count]).startswith(head))

    def _plain(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
