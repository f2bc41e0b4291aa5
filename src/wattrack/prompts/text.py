"""Samples to prompts: templates and worked examples, rendered the same way for every question. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from wattrack.errors import DatasetError
from wattrack.prompts.lengths import drawn_length, turned
from wattrack.prompts.seeds import derived_seed
from wattrack.prompts.shots import Draw, Shot
from wattrack.schema import Generation, Message, Request, Sample

_SHOT_ANSWER = " {answer}"
_FIELD = re.compile(r"\{(question|options|context)\}")


def completion_prompt(
    question: str, template: str, shots: Sequence[Shot], shot_answer: str = _SHOT_ANSWER, options: str = ""
) -> str:
    """Raw text: every example and then the question, a blank line between blocks, no blank after the last."""
    blocks = [
        filled(template, shot.question, shot.options) + shot_answer.replace("{answer}", shot.answer) for shot in shots
    ]
    return "\n\n".join([*blocks, filled(template, question, options)])


def chat_prompt(
    question: str, template: str, shots: Sequence[Shot], options: str = "", context: str = ""
) -> tuple[Message, ...]:
    """Chat turns: every example as a user and an assistant turn, then the question."""
    turns: list[Message] = []
    for shot in shots:
        turns += [
            Message(role="user", content=filled(template, shot.question, shot.options)),
            Message(role="assistant", content=shot.answer),
        ]
    return (*turns, Message(role="user", content=filled(template, question, options, context)))


def options_text(sample: Sample) -> str:
    """One line for each choice, with its label: "A. first", or "(A) first" where labels have brackets."""
    labels = (label if label.endswith(")") else f"{label}." for label in sample.labels)
    return "\n".join(f"{label} {choice}" for label, choice in zip(labels, sample.choices, strict=True))


def filled(template: str, question: str, options: str = "", context: str = "") -> str:
    """The template with its fields' texts, which may hold braces of their own."""
    values = {"question": question, "options": options, "context": context}
    return _FIELD.sub(lambda match: values[match.group(1)], template)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """How one protocol turns samples into requests."""

    style: str
    """`completion` or `chat`."""
    template: str
    shots: tuple[Shot, ...]
    generation: Generation
    shot_answer: str = _SHOT_ANSWER
    """Completion style: what follows the template in a worked example."""
    draw: Draw | None = None
    """Rows to take the worked examples from; `with_shots` does."""
    preambles: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Completion style: by group, the text before shots and question, a blank line between."""
    contexts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Chat style: by sample id, what stands for `{context}` in the template."""
    prompt_tokens: int | None = None
    """Completion style: as in `Request`, or its mean over the requests."""
    prompt_tokens_stddev: float = 0.0
    """Above 0: every request's own number of prompt tokens is drawn."""
    max_new_tokens_stddev: float = 0.0
    """Above 0: every request's own max_new_tokens is drawn, with that of `generation` as mean."""
    constrained: bool = False
    """Answers must keep to the sample's own JSON Schema, `Sample.data["schema"]`; the wording is the same."""

    def with_shots(self, rows: Sequence[Sample], asked: Sequence[Sample]) -> "Prompt":
        """The prompt with its examples drawn from `rows`, each answered by its target. DatasetError: too few rows."""
        if self.draw is None:
            return self
        by_group = self.draw.drawn(rows, asked)
        if set(by_group) != {None}:
            raise DatasetError(f"style {self.style} takes worked examples from rows without groups only")
        return replace(
            self,
            shots=tuple(Shot(question=s.question, answer=s.target, options=options_text(s)) for s in by_group[None]),
        )

    def request(self, sample: Sample, seed: int, repeat: int) -> Request:
        """Exactly what the model is asked; the request's seed depends on (seed, sample id, repeat) alone."""
        if self.draw is not None and not self.shots:
            raise DatasetError(f"no worked examples have been drawn for {sample.id}")
        text: str | tuple[Message, ...]
        if self.style == "chat":
            context = self.contexts.get(sample.id, "")
            text = chat_prompt(sample.question, self.template, self.shots, options_text(sample), context)
        else:
            text = completion_prompt(sample.question, self.template, self.shots, self.shot_answer, options_text(sample))
            if self.preambles:
                text = f"{self.preambles[sample.group or '']}\n\n{text}"
            if self.prompt_tokens is not None:
                text = turned(text, repeat)
        own = derived_seed(seed, sample.id, repeat)
        prompt_tokens, generation = self.prompt_tokens, self.generation
        if prompt_tokens is not None and self.prompt_tokens_stddev:
            prompt_tokens = drawn_length(prompt_tokens, self.prompt_tokens_stddev, derived_seed(own, "prompt"))
        if self.max_new_tokens_stddev:
            length = drawn_length(
                generation.max_new_tokens, self.max_new_tokens_stddev, derived_seed(own, "new tokens")
            )
            generation = replace(generation, max_new_tokens=length)
        return Request(
            sample_id=sample.id,
            repeat=repeat,
            prompt=text,
            generation=generation,
            seed=own,
            prompt_tokens=prompt_tokens,
            constraint=_schema(sample) if self.constrained else None,
        )

    def sha256(self) -> str:
        """Hash of everything in the prompt that is the same for all questions; moves when the wording moves."""
        content: list[object] = [
            self.style,
            self.template,
            [[s.question, s.answer, *([s.options] if s.options else [])] for s in self.shots],
        ]
        if self.shot_answer != _SHOT_ANSWER:
            content.append(self.shot_answer)
        if self.draw is not None:
            content.append(self.draw.key())
        if self.preambles:
            content.append(sorted(self.preambles.items()))
        if self.contexts:
            content.append(sorted(self.contexts.items()))
        if self.prompt_tokens is not None:
            content.append(self.prompt_tokens)
        if self.prompt_tokens_stddev or self.max_new_tokens_stddev:
            content.append(["stddev", self.prompt_tokens_stddev, self.max_new_tokens_stddev])
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def _schema(sample: Sample) -> Mapping[str, object]:
    schema = sample.data.get("schema")
    if not isinstance(schema, Mapping):
        raise DatasetError(f"{sample.id}: constrained decoding needs rows with a JSON Schema; choose another protocol")
    return schema
