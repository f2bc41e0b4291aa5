"""Stop strings: finding the first one in new tokens at the cost of a few tokens per step. Pure."""

from collections.abc import Callable, Sequence

_MARGIN_TOKENS = 8
"""Extra tokens decoded before the longest possible match: tokens that decode to nothing, and a decoder that
strips the first blank of what it is given."""


class StopStrings:
    """Finds the first stop string in the text of one row's new tokens; the prompt is never part of them.

    A stop string of n UTF-8 bytes spans at most n tokens (each carries a byte or more), so only a tail of
    that many is decoded, and only when the newest token can hold the last character of a stop string.
    """

    def __init__(
        self, stops: Sequence[str], decode: Callable[[Sequence[int]], str], raw_token: Callable[[int], str]
    ) -> None:
        """`decode` gives the text of ids without special tokens; `raw_token` an id's vocabulary entry."""
        self._stops = tuple(stop for stop in stops if stop)
        self._decode = decode
        self._raw_token = raw_token
        self._tail_tokens = max((len(stop.encode(errors="replace")) for stop in self._stops), default=0)
        self._can_end: dict[int, bool] = {}

    def __bool__(self) -> bool:
        """False when there is nothing to look for."""
        return bool(self._stops)

    def completed(self, ids: Sequence[int]) -> bool:
        """Whether the newest id completes a stop string, given all new ids of the row."""
        if not self._may_complete(ids[-1]):
            return False
        tail = self._decode(ids[-(self._tail_tokens + _MARGIN_TOKENS) :])
        return any(stop in tail for stop in self._stops) and self.find(self._decode(ids)) is not None

    def find(self, text: str) -> int | None:
        """Where the first stop string begins in `text`; None when there is none."""
        positions = [position for stop in self._stops if (position := text.find(stop)) >= 0]
        return min(positions, default=None)

    def cut(self, text: str) -> str:
        """`text` up to the first stop string."""
        return text[: self.find(text)]

    def _may_complete(self, token: int) -> bool:
        known = self._can_end.get(token)
        if known is None:
            piece, raw = self._decode([token]), self._raw_token(token)
            endings = {stop[-1] for stop in self._stops}
            # An incomplete character decodes to U+FFFD or to nothing; sentencepiece strips the leading blank
            # of a lone token, which its vocabulary entry still shows as U+2581.
            partial = not piece or "\ufffd" in piece or ("\u2581" in raw and " " in endings)
            known = self._can_end[token] = partial or any(ending in piece for ending in endings)
        return known
