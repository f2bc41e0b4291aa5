"""Questions as a user's turn, through the model's own chat template; worked examples are turns before it. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from wattrack.errors import ConfigError
from wattrack.prompts.asking import Material, filled_later, hashed
from wattrack.prompts.seeds import derived_seed
from wattrack.prompts.text import Worded, check_callable, filled, options_text
from wattrack.schema import Message, Request, Sample

_CONTEXT = "{context}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat(Worded):
    """Every example as a user and an assistant turn, then the question."""

    context: Callable[..., str] | None = None
    """(sample, folder=the user's `dataset.data_dir`) -> what stands for `{context}` in the template."""
    contexts: Mapping[str, str] = filled_later(dict)
    """By sample id."""

    def __post_init__(self) -> None:
        """Refuse values that have no meaning. ConfigError names the field."""
        Worded.__post_init__(self)
        check_callable("context", self.context)
        if (self.context is None) == (_CONTEXT in self.template):
            raise ConfigError(f"context: goes with {_CONTEXT} in the template, and the other way round")

    def prepared(self, every: Sequence[Sample], material: Material) -> Self:
        """The prompt with its examples and the texts of every question: its hash is the same whatever the limit."""
        made = Worded.prepared(self, every, material)
        if (context := self.context) is None:
            return made
        return replace(made, contexts={sample.id: context(sample, folder=material.data_dir) for sample in every})

    def request(self, sample: Sample, seed: int, repeat: int) -> Request:
        """Exactly what the model is asked; the request's seed depends on (seed, sample id, repeat) alone."""
        own = derived_seed(seed, sample.id, repeat)
        turns: list[Message] = []
        for shot in self.required_examples(sample):
            asked = filled(self.template, shot.question, shot.options)
            turns += [Message(role="user", content=asked), Message(role="assistant", content=shot.answer)]
        question = filled(self.template, sample.question, options_text(sample), self.contexts.get(sample.id, ""))
        return Request(
            sample_id=sample.id,
            repeat=repeat,
            prompt=(*turns, Message(role="user", content=question)),
            generation=self.own_generation(own),
            seed=own,
            constraint=self.constraint(sample),
        )

    def sha256(self) -> str:
        """Hash of everything in the prompt but the questions: wording, examples, and the texts for the questions."""
        content: list[object] = ["chat", self.template, self.shown_examples()]
        if self.draw is not None:
            content.append(self.draw.key())
        if self.contexts:
            content.append(sorted(self.contexts.items()))
        if self.max_new_tokens_stddev:
            content.append(["stddev", 0.0, self.max_new_tokens_stddev])
        return hashed(content)
