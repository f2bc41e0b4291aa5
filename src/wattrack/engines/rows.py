"""Rows of a batch: requests as tokens, and the Response of one that could not be answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from wattrack.answering import ErrorKind, Usage
from wattrack.schema import ChoiceRequest, Request, Response

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "cublas_status_alloc_failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRow:
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


@dataclass(frozen=True, slots=True)
class Option:
    """One candidate, tokenised as a whole."""

    ids: tuple[int, ...]
    """Context and continuation."""
    start: int
    """Where the continuation begins; at least 1."""


@dataclass(frozen=True, kw_only=True)
class ChoiceRow:
    """One choice question, tokenised."""

    request: ChoiceRequest
    options: tuple[Option, ...]
    merged: int
    prompt_text: str

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """The token ids of the longest option, context included."""
        return max((option.ids for option in self.options), key=len)

    def packed_tokens(self, prefix: int) -> int:
        """Tokens computed for this question on top of a prefix."""
        root = self.root_length
        return root - prefix + sum(len(option.ids) - 1 - root for option in self.options)

    @cached_property
    def shareable(self) -> tuple[int, ...]:
        """The ids that a prefix may cover: common to all options, and before the first place whose logits count."""
        first = self.options[0].ids
        limit = min(option.start - 1 for option in self.options)
        return first[: min(limit, self.root_length)]

    @cached_property
    def root_length(self) -> int:
        """Tokens on which the inputs of all options agree (an option's last token is never an input)."""
        first = self.options[0].ids[:-1]
        return min((common(first, option.ids[:-1]) for option in self.options[1:]), default=len(first))


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:  # a[:low] agrees, a[:high] does not
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


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
