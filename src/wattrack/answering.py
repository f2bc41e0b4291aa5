"""How an answer came about: what it used, when its parts arrived, and under which load it was asked for."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

ErrorKind = Literal["refused", "too_long", "timeout", "rate_limited", "server", "broken"]
"""Why a request has no answer: refused = this model cannot be asked that; too_long = it does not fit the context;
timeout, rate_limited and server = of a model behind an API; broken = the engine failed while it computed."""


def _at_least_zero(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value < math.inf:
        raise ValueError(f"{name} must be 0 or more (or None: not known), not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one answer and what they cost. None = not known."""

    input_tokens: int | None = None
    """Real prompt ids including special tokens, without padding. For choices: context and continuation summed over
    the candidates, shared or not."""
    output_tokens: int | None = None
    """Generated ids up to and including the end token, which counts once; padding and overrun excluded."""
    cached_tokens: int | None = None
    """Those of `input_tokens` that a server took from its prompt cache."""
    reasoning_tokens: int | None = None
    """Those of `output_tokens` that hold any of the reasoning and its marks; all of them where a block never closes
    and nothing stands before it."""
    source: Literal["tokenizer", "server", "estimated"] = "tokenizer"
    """Who counted: this process with the model's own tokenizer, the server that answered, or a guess."""
    cost_usd: float | None = None
    """What the provider says that the answer cost."""

    def __post_init__(self) -> None:
        for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "cost_usd"):
            _at_least_zero(name, getattr(self, name))
        for part, whole in (("cached_tokens", "input_tokens"), ("reasoning_tokens", "output_tokens")):
            some, of = getattr(self, part), getattr(self, whole)
            if some is not None and of is not None and some > of:
                raise ValueError(f"{part} is {some}, more than the {of} {whole} that it is a part of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a request was to go out, went out, and was answered, in seconds on one monotonic clock after `sent`.

    A request in this process is sent when its prompt tensor is ready.
    """

    intended_s: float | None = None
    """When the load meant to send it: 0 or negative, by how long it waited in the client. None = no schedule."""
    stamps_s: tuple[float, ...] = ()
    """Host arrival of each part of the answer; empty when the parts were not seen arriving."""
    stamps_of: Literal["tokens", "chunks"] = "tokens"
    """What a part is. A chunk holds some number of tokens, so nothing per token follows from chunks."""
    done_s: float | None = None
    """Arrival of the end. In a batch it includes waiting for the slower steps of the batch. None = not measured."""
    sent_unix_ms: int = 0
    """Wall clock when it was sent; 0 = not known."""

    def __post_init__(self) -> None:
        if self.intended_s is not None and self.intended_s > 0:
            raise ValueError(f"a request cannot be sent {self.intended_s} s before it was to be sent")
        if any(later < earlier for earlier, later in pairwise(self.stamps_s)):
            raise ValueError("the stamps of an answer must not go back in time")
        if self.stamps_s:
            _at_least_zero("the first stamp", self.stamps_s[0])
        _at_least_zero("done_s", self.done_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How requests arrive at an engine."""

    kind: Literal["all", "one", "closed", "open"]
    """all = at once, and the engine batches as it likes; one = the next when the one before is answered; closed = that
    many workers, each with one request under way; open = by a clock, whatever is under way."""
    workers: int | None = None
    """closed: requests under way at a time."""
    rate_per_s: float | None = None
    """open: mean arrivals in a second."""
    arrivals: Literal["poisson", "constant", "gamma"] | None = None
    """open: how the gaps between arrivals are spread."""

    def __post_init__(self) -> None:
        if (self.kind == "closed") != (self.workers is not None) or (self.workers is not None and self.workers < 1):
            raise ValueError(f"a closed load has 1 worker or more, no other has any; came {self.kind}, {self.workers}")
        given = self.rate_per_s is not None and self.arrivals is not None
        if (self.kind == "open") != given or (self.rate_per_s is not None and not 0 < self.rate_per_s < math.inf):
            raise ValueError(f"an open load has a rate above 0 and arrivals, no other has; came {self}")


ALL = Load(kind="all")
ONE = Load(kind="one")
