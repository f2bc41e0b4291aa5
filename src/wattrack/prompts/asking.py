"""What all ways of asking have in common. Each is a class of its own, whose signature is what a YAML may say of it."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from wattrack.errors import ConfigError
from wattrack.prompts.shots import Draw
from wattrack.prompts.typed import settle
from wattrack.schema import ChoiceRequest, Generation, Request, Sample

FILLED = "filled"
"""Mark of a field that no YAML sets: `prepared` fills it."""


def filled_later(default: Any) -> Any:
    """A field that `prepared` fills, from rows or files that are not read before."""
    return field(default_factory=default, metadata={FILLED: True}, hash=False)


class Material(Protocol):
    """What a prompt may take besides the questions: rows of other splits, and files of the user."""

    @property
    def data_dir(self) -> Path | None:
        """The folder of the rows."""

    @property
    def prompts_dir(self) -> Path | None:
        """The folder of the authors' prompts."""

    def rows(self, draw: Draw) -> Sequence[Sample]:
        """The samples that worked examples are drawn from."""


class Prompt(Protocol):
    """How one protocol turns samples into requests."""

    asks_logprobs: ClassVar[bool]
    """Whether requests are for the log-probabilities of given continuations, not for text."""

    @property
    def constrained(self) -> bool:
        """Whether answers must keep to a JSON Schema."""

    @property
    def draw(self) -> Draw | None:
        """The rule by which worked examples are drawn from rows; None = it needs no rows."""

    def prepared(self, every: Sequence[Sample], material: Material) -> Self:
        """The prompt with everything in it that is read from rows and files.

        Args:
            every: all samples of the split, not only those that are asked, so that nothing in it depends on the limit.
            material: where the rest comes from.
        """

    def turns(self, sample: Sample) -> Sequence[Sample]:
        """The samples that one row is asked as: itself, or one for each turn of a conversation."""

    def request(self, sample: Sample, seed: int, repeat: int) -> Request | ChoiceRequest:
        """Exactly what the model is asked; a seed of its own from (seed, sample id, repeat) alone."""

    def sha256(self) -> str:
        """Hash of everything that is the same for all questions; moves when the wording moves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A prompt that draws no examples, holds nothing to a schema and asks each row as it is."""

    asks_logprobs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse values of the wrong kind. ConfigError names the field."""
        settle(self)

    @property
    def constrained(self) -> bool:
        """Whether answers must keep to a JSON Schema."""
        return False

    @property
    def draw(self) -> Draw | None:
        """The rule by which worked examples are drawn from rows."""
        return None

    def prepared(self, every: Sequence[Sample], material: Material) -> Self:
        """The prompt itself: it takes nothing from rows or files."""
        return self

    def turns(self, sample: Sample) -> Sequence[Sample]:
        """The sample itself."""
        return (sample,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated(Asking):
    """A prompt that is answered with text: how it is sampled and where it ends."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    """0.0 means greedy."""
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    """Strings that end the answer and are no part of it."""
    fixed_length: bool = False
    """Exactly max_new_tokens, whether the model wants to end or not: for measuring speed, not answers."""

    def __post_init__(self) -> None:
        """Refuse values that have no meaning. ConfigError names the field, the value and what is accepted."""
        Asking.__post_init__(self)
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens={self.max_new_tokens}: must be 1 or more")
        if not 0 <= self.temperature < math.inf:
            raise ConfigError(f"temperature={self.temperature:g}: must be 0 or more")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p={self.top_p:g}: must be more than 0 and at most 1")
        if self.fixed_length and self.stop:
            raise ConfigError("fixed_length: only for answers without stop strings")
        if self.constrained and (self.stop or self.fixed_length):
            raise ConfigError("constrained: the schema says where an answer ends: leave stop and fixed_length out")

    @property
    def generation(self) -> Generation:
        """The sampling settings of a request."""
        return Generation(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            stop=self.stop,
            fixed_length=self.fixed_length,
        )


def hashed(content: Sequence[object]) -> str:
    """SHA-256 (hex) of the content as JSON."""
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()
