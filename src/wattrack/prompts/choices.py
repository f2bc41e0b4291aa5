"""Samples with choices to contexts and continuations, with worked examples drawn from the dataset's own rows. Pure.

A worked example is the text of its right candidate, so shots and questions cannot drift apart. Blocks are joined by a
blank line, and the blank before a continuation belongs to the continuation, as in lm-evaluation-harness.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from wattrack.errors import DatasetError
from wattrack.prompts.shots import Draw
from wattrack.prompts.text import filled, options_text
from wattrack.schema import Candidate, ChoiceRequest, Sample

CHOICE_STYLES = ("choices", "letters", "partial")
_BLOCKS = "\n\n"
_GAP = "_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicePrompt:
    """How one protocol turns samples with choices into requests for log-probabilities."""

    style: str
    """`choices`: continuations are the choices' texts; `letters`: their labels; `partial`: the choice fills the gap `_`
    of the question, and the rest of the sentence is the continuation of every candidate."""
    template: str = "{question}"
    """Text of one question; `{options}` = one line for each choice with its label. Unused by `partial`."""
    header: str = ""
    """Text before everything; `{group}` = the sample's group with blanks for underscores."""
    draw: Draw | None = None
    shots: Mapping[str | None, tuple[Sample, ...]] = field(default_factory=dict)
    """The drawn examples by group; filled by `with_shots`."""

    def with_shots(self, rows: Sequence[Sample], asked: Sequence[Sample]) -> "ChoicePrompt":
        """The prompt with its examples drawn from `rows`; none of them has the text of a question in `asked`.

        Rows with groups give every group examples of its own. DatasetError when there are too few.
        """
        return self if self.draw is None else replace(self, shots=self.draw.drawn(rows, asked))

    def request(self, sample: Sample, seed: int, repeat: int) -> ChoiceRequest:
        """Exactly what the model is asked; nothing is drawn at random, so `seed` changes nothing."""
        if self.draw is not None and sample.group not in self.shots:
            raise DatasetError(f"no worked examples have been drawn for {sample.id}")
        shots = [context + continuation for context, continuation in map(self._right, self.shots.get(sample.group, ()))]
        header = self.header.replace("{group}", (sample.group or "").replace("_", " "))
        found = self._candidates(sample)
        # One string for equal contexts: with shots they are most of a job's text.
        contexts = {block: header + _BLOCKS.join([*shots, block]) for block, _ in found}
        candidates = tuple(_candidate(contexts[block], continuation) for block, continuation in found)
        return ChoiceRequest(sample_id=sample.id, repeat=repeat, candidates=candidates)

    def _candidates(self, sample: Sample) -> list[tuple[str, str]]:
        """(block of the question, continuation) of every choice, without header and shots."""
        if self.style == "partial":
            before, gap, rest = sample.question.partition(_GAP)
            if not gap or not rest.strip():
                raise DatasetError(f"{sample.id}: the question needs a gap `{_GAP}` with text after it")
            return [(before + choice, f" {rest.strip()}") for choice in sample.choices]
        block = filled(self.template, sample.question, options_text(sample))
        return [(block, f" {answer}") for answer in (sample.labels if self.style == "letters" else sample.choices)]

    def _right(self, sample: Sample) -> tuple[str, str]:
        return self._candidates(sample)[sample.labels.index(sample.target)]

    def sha256(self) -> str:
        """Hash of what is the same for all questions: the wording, the rule of the draw and the examples drawn."""
        draw = self.draw and self.draw.key()
        shots = [
            [group, [list(self._right(shot)) for shot in self.shots[group]]] for group in sorted(self.shots, key=str)
        ]
        content = [self.style, self.template, self.header, draw, shots]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()


def _candidate(context: str, continuation: str) -> Candidate:
    kept = context.rstrip()
    return Candidate(context=kept, continuation=context[len(kept) :] + continuation)
