"""Samples with choices to contexts and continuations, with worked examples drawn from the dataset's own rows. Pure.

A worked example is the text of its right candidate, so shots and questions cannot drift apart. Blocks are joined by a
blank line, and the blank before a continuation belongs to the continuation, as in lm-evaluation-harness.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from wattrack.errors import ConfigError, DatasetError
from wattrack.prompts.asking import Asking, Material, filled_later, hashed
from wattrack.prompts.shots import Draw
from wattrack.prompts.text import filled, options_text
from wattrack.schema import Candidate, ChoiceRequest, Sample

_BLOCKS = "\n\n"
_GAP = "_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices(Asking):
    """Log-probabilities of the choices' texts after the question."""

    asks_logprobs: ClassVar[bool] = True
    word: ClassVar[str] = "choices"
    """What stands for this way of asking in the prompt's hash."""
    template: str = "{question}"
    """Text of one question; `{options}` = one line for each choice with its label."""
    header: str = ""
    """Text before everything; `{group}` = the sample's group with blanks for underscores."""
    shots: Draw | None = None
    """Worked examples from rows of another split, in each group its own where rows have groups."""
    examples: Mapping[str | None, tuple[Sample, ...]] = filled_later(dict)
    """By group."""

    def __post_init__(self) -> None:
        """Refuse values of the wrong kind. ConfigError names the field."""
        Asking.__post_init__(self)
        if not isinstance(self.shots, Draw | None):
            raise ConfigError(f"shots={self.shots}: choices take rows of another split as examples: a Draw")

    @property
    def draw(self) -> Draw | None:
        """The rule by which worked examples are drawn from rows."""
        return self.shots

    def prepared(self, every: Sequence[Sample], material: Material) -> Self:
        """The prompt with its examples; none of them has the text of a question in `every`.

        Rows with groups give every group examples of its own. DatasetError when there are too few.
        """
        return self if self.draw is None else replace(self, examples=self.draw.drawn(material.rows(self.draw), every))

    def request(self, sample: Sample, seed: int, repeat: int) -> ChoiceRequest:
        """Exactly what the model is asked; nothing is drawn at random, so `seed` changes nothing."""
        if self.draw is not None and sample.group not in self.examples:
            raise DatasetError(f"no worked examples have been drawn for {sample.id}")
        drawn = self.examples.get(sample.group, ())
        shots = [context + continuation for context, continuation in map(self._right, drawn)]
        header = self.header.replace("{group}", (sample.group or "").replace("_", " "))
        found = self.candidates(sample)
        # One string for equal contexts: with shots they are most of a job's text.
        contexts = {block: header + _BLOCKS.join([*shots, block]) for block, _ in found}
        candidates = tuple(_candidate(contexts[block], continuation) for block, continuation in found)
        return ChoiceRequest(sample_id=sample.id, repeat=repeat, candidates=candidates)

    def candidates(self, sample: Sample) -> list[tuple[str, str]]:
        """(block of the question, continuation) of every choice, without header and examples."""
        block = filled(self.template, sample.question, options_text(sample))
        return [(block, f" {answer}") for answer in self.answers(sample)]

    def answers(self, sample: Sample) -> Sequence[str]:
        """The continuations, without the blank before them."""
        return sample.choices

    def _right(self, sample: Sample) -> tuple[str, str]:
        return self.candidates(sample)[sample.labels.index(sample.target)]

    def sha256(self) -> str:
        """Hash of what is the same for all questions: the wording, the rule of the draw and the examples drawn."""
        draw = self.draw and self.draw.key()
        shots = [
            [group, [list(self._right(shot)) for shot in self.examples[group]]]
            for group in sorted(self.examples, key=str)
        ]
        return hashed([self.word, self.template, self.header, draw, shots])


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters(Choices):
    """Log-probabilities of the choices' labels after the question, which lists the choices."""

    word: ClassVar[str] = "letters"

    def answers(self, sample: Sample) -> Sequence[str]:
        """The labels."""
        return sample.labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial(Choices):
    """A choice fills the gap `_` of the question; the rest of the sentence is the continuation of every candidate."""

    word: ClassVar[str] = "partial"

    def candidates(self, sample: Sample) -> list[tuple[str, str]]:
        """(question up to and with the choice, rest of the sentence) of every choice. DatasetError: there is no gap."""
        before, gap, rest = sample.question.partition(_GAP)
        if not gap or not rest.strip():
            raise DatasetError(f"{sample.id}: the question needs a gap `{_GAP}` with text after it")
        return [(before + choice, f" {rest.strip()}") for choice in sample.choices]


def _candidate(context: str, continuation: str) -> Candidate:
    kept = context.rstrip()
    return Candidate(context=kept, continuation=context[len(kept) :] + continuation)
