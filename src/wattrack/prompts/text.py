"""Templates filled with a question, its options and its context; worked examples before it. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from wattrack.errors import ConfigError, DatasetError
from wattrack.prompts.asking import Generated, Material, filled_later
from wattrack.prompts.lengths import drawn_length
from wattrack.prompts.seeds import derived_seed
from wattrack.prompts.shots import Draw, Shot, load_shots
from wattrack.schema import Generation, Sample

_FIELD = re.compile(r"\{(question|options|context)\}")


def options_text(sample: Sample) -> str:
    """One line for each choice, with its label: "A. first", or "(A) first" where labels have brackets."""
    labels = (label if label.endswith(")") else f"{label}." for label in sample.labels)
    return "\n".join(f"{label} {choice}" for label, choice in zip(labels, sample.choices, strict=True))


def filled(template: str, question: str, options: str = "", context: str = "") -> str:
    """The template with its fields' texts, which may hold braces of their own."""
    values = {"question": question, "options": options, "context": context}
    return _FIELD.sub(lambda match: values[match.group(1)], template)


def check_callable(name: str, value: object) -> None:
    """Refuse what should have been made of a `_target_` and was not. ConfigError names it."""
    if value is not None and not callable(value):
        raise ConfigError(f"{name}: expected a node with a _target_ and _partial_: true, got {value!r}")


def check_spread(name: str, stddev: float, needed: str, there: bool) -> None:
    """Refuse the standard deviation of a length that is not exact. ConfigError names it."""
    if not 0 <= stddev < math.inf:
        raise ConfigError(f"{name}={stddev:g}: must be 0 or more")
    if stddev and not there:
        raise ConfigError(f"{name}={stddev:g}: needs {needed}; only exact lengths can be drawn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worded(Generated):
    """A template, worked examples before it, and an answer in text."""

    template: str = "{question}"
    """Text of one question; `{question}` and `{options}` (a line for each choice) are replaced."""
    shots: str | Draw | None = None
    """Worked examples put before every question: a YAML file shipped beside the tasks, by stem, or a `Draw` of rows."""
    constrained: bool = False
    """Every token is one that the sample's own JSON Schema admits, `Sample.data["schema"]`; the wording is the same. A
    condition of its own: never one protocol with free decoding."""
    max_new_tokens_stddev: float = 0.0
    """With fixed_length: lengths are drawn for each request, from a Gaussian whose mean is max_new_tokens."""
    examples: tuple[Shot, ...] = filled_later(tuple)

    def __post_init__(self) -> None:
        """Refuse values that have no meaning; take the examples that are shipped. ConfigError names the field."""
        Generated.__post_init__(self)
        check_spread("max_new_tokens_stddev", self.max_new_tokens_stddev, "fixed_length: true", there=self.fixed_length)
        if not isinstance(self.shots, str | Draw | None):
            raise ConfigError(f"shots: expected the name of a file of worked examples or a Draw, got {self.shots!r}")
        if isinstance(self.shots, str) and not self.examples:
            object.__setattr__(self, "examples", load_shots(self.shots))

    @property
    def draw(self) -> Draw | None:
        """The rule by which worked examples are drawn from rows."""
        return self.shots if isinstance(self.shots, Draw) else None

    def prepared(self, every: Sequence[Sample], material: Material) -> Self:
        """The prompt with its examples, each answered by its target. DatasetError: too few rows."""
        if self.draw is None:
            return self
        by_group = self.draw.drawn(material.rows(self.draw), every)
        if set(by_group) != {None}:
            raise DatasetError(f"{type(self).__name__} takes worked examples from rows without groups only")
        shots = tuple(Shot(question=s.question, answer=s.target, options=options_text(s)) for s in by_group[None])
        return replace(self, examples=shots)

    def required_examples(self, sample: Sample) -> Sequence[Shot]:
        """The worked examples; DatasetError when they were to be drawn and have not been."""
        if self.draw is not None and not self.examples:
            raise DatasetError(f"no worked examples have been drawn for {sample.id}")
        return self.examples

    def own_generation(self, own_seed: int) -> Generation:
        """The sampling settings of the request with that seed; its length is drawn where lengths are."""
        if not self.max_new_tokens_stddev:
            return self.generation
        length = drawn_length(self.max_new_tokens, self.max_new_tokens_stddev, derived_seed(own_seed, "new tokens"))
        return replace(self.generation, max_new_tokens=length)

    def constraint(self, sample: Sample) -> Mapping[str, object] | None:
        """The schema of the sample's answer, where answers are held to one. DatasetError when it has none."""
        schema = sample.data.get("schema")
        if not self.constrained:
            return None
        if not isinstance(schema, Mapping):
            raise DatasetError(
                f"{sample.id}: constrained decoding needs rows with a JSON Schema; choose another protocol"
            )
        return schema

    def shown_examples(self) -> list[list[str]]:
        """The examples as the prompt's hash has them."""
        return [[s.question, s.answer, *([s.options] if s.options else [])] for s in self.examples]
