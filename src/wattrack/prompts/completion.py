"""Questions as raw text that the model continues: worked examples, then the question, no chat template. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from wattrack.errors import ConfigError
from wattrack.prompts.asking import Material, filled_later, hashed
from wattrack.prompts.lengths import drawn_length, turned
from wattrack.prompts.seeds import derived_seed
from wattrack.prompts.text import Worded, check_callable, check_spread, filled, options_text
from wattrack.schema import Request, Sample

_SHOT_ANSWER = " {answer}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Worded):
    """Raw text: every example and then the question, a blank line between blocks, no blank after the last."""

    shot_answer: str = _SHOT_ANSWER
    """What follows the template in a worked example."""
    preamble: Callable[..., str] | None = None
    """(group, folder=the user's `dataset.prompts_dir`) -> text before shots and question, a blank line between."""
    prompt_tokens: int | None = None
    """Every prompt is repeated or cut to exactly this many tokens of the model's own tokenizer."""
    prompt_tokens_stddev: float = 0.0
    """Lengths are drawn for each request, from a Gaussian whose mean is prompt_tokens."""
    preambles: Mapping[str, str] = filled_later(dict)
    """By group."""

    def __post_init__(self) -> None:
        """Refuse values that have no meaning. ConfigError names the field, the value and what is accepted."""
        Worded.__post_init__(self)
        check_callable("preamble", self.preamble)
        if self.prompt_tokens is not None and self.prompt_tokens < 1:
            raise ConfigError(f"prompt_tokens={self.prompt_tokens}: must be 1 or more")
        there = self.prompt_tokens is not None
        check_spread("prompt_tokens_stddev", self.prompt_tokens_stddev, "prompt_tokens", there=there)

    def prepared(self, every: Sequence[Sample], material: Material) -> Self:
        """The prompt with its examples and preambles. DatasetError: too few rows, or a file is missing."""
        made = Worded.prepared(self, every, material)
        if (preamble := self.preamble) is None:
            return made
        groups = sorted({s.group for s in every if s.group is not None})
        return replace(made, preambles={group: preamble(group, folder=material.prompts_dir) for group in groups})

    def request(self, sample: Sample, seed: int, repeat: int) -> Request:
        """Exactly what the model is asked; the request's seed depends on (seed, sample id, repeat) alone."""
        own = derived_seed(seed, sample.id, repeat)
        text, tokens = self._text(sample), self.prompt_tokens
        if tokens is not None:
            text = turned(text, repeat)
        if tokens is not None and self.prompt_tokens_stddev:
            tokens = drawn_length(tokens, self.prompt_tokens_stddev, derived_seed(own, "prompt"))
        return Request(
            sample_id=sample.id,
            repeat=repeat,
            prompt=text,
            generation=self.own_generation(own),
            seed=own,
            prompt_tokens=tokens,
            constraint=self.constraint(sample),
        )

    def _text(self, sample: Sample) -> str:
        blocks = [
            filled(self.template, shot.question, shot.options) + self.shot_answer.replace("{answer}", shot.answer)
            for shot in self.required_examples(sample)
        ]
        before = [self.preambles[sample.group or ""]] if self.preambles else []
        return "\n\n".join([*before, *blocks, filled(self.template, sample.question, options_text(sample))])

    def sha256(self) -> str:
        """Hash of everything in the prompt that is the same for all questions; moves when the wording moves."""
        content: list[object] = ["completion", self.template, self.shown_examples()]
        if self.shot_answer != _SHOT_ANSWER:
            content.append(self.shot_answer)
        if self.draw is not None:
            content.append(self.draw.key())
        if self.preambles:
            content.append(sorted(self.preambles.items()))
        if self.prompt_tokens is not None:
            content.append(self.prompt_tokens)
        if self.prompt_tokens_stddev or self.max_new_tokens_stddev:
            content.append(["stddev", self.prompt_tokens_stddev, self.max_new_tokens_stddev])
        return hashed(content)
