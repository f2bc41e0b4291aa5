"""MT-Bench's judge: what it is asked about an answer, in our own words, and how its rating is read.

As the authors do (lm-sys/FastChat, fastchat/llm_judge), one answer at a time is rated from 1 to 10, greedily, an answer
to the second turn with the whole conversation in view, and with reference answers in three categories. Two differences:
every `[[n]]` of the reply must be the same number (they take the first, else `[n]`), and replies without one are
counted (`mt_bench_parsed`) rather than dropped in silence.
"""

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from wattrack.prompts.seeds import derived_seed
from wattrack.schema import Generation, Message, Request, Response, Sample, Score
from wattrack.scorers import reasoning

LOWEST, HIGHEST = 1, 10
_RATING = re.compile(r"\[\[\s*(\d+(?:\.\d+)?)\s*\]\]")

_TASK = """\
You are the examiner of an AI assistant. {what} Judge it by these questions: does it do what the user asked, is it
right, is it useful, does it go as deep and into as much detail as it should, and is it well put? A long reply is not
better for its length.{reference}
First give your reasons in a few sentences. Then end with your grade from 1 (worst) to 10 (best) as a number in double
square brackets, like this: [[5]]"""
_FIRST = "You grade its reply to the user's message."
_LATER = "You are shown a conversation and grade the assistant's last reply; the earlier ones are there as context."
_REFERENCE = (
    " A reference answer is given: compare the reply with it, name every mistake, and let correctness count most."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MtBenchJudging:
    """Requests to the judge, and grades from its replies."""

    version: int
    """Of the prompts and of the reading; any change of either needs a new one."""
    max_new_tokens: int = 2048

    def request(self, sample: Sample, texts: Sequence[str], repeat: int) -> Request:
        """What the judge is asked about the last of `texts`, the model's answers up to the turn `sample`."""
        said = cast(Sequence[str], sample.data["turns"])
        references = cast(Sequence[str], sample.data["references"])[: len(said)]
        return Request(
            sample_id=sample.id,
            repeat=repeat,
            prompt=(
                Message(role="system", content=_instruction(len(said), bool(references))),
                Message(role="user", content=_conversation(said, references, texts)),
            ),
            generation=Generation(max_new_tokens=self.max_new_tokens),
            seed=derived_seed("judge", sample.id, repeat),
        )

    def grade(self, sample: Sample, response: Response, judgement: Response | None) -> Score:
        """The rating r as metrics and, as value, (r - 1) / 9; NaN without a readable rating.

        The score's Wilson interval counts conversations and takes values for 0 or 1: it is wider than need be.
        `judgement` is None for an answer that failed: it has the lowest rating.
        """
        if judgement is None:
            return _score(sample, response, float(LOWEST), {}, f"failed: {response.error}")
        rating = None if judgement.error is not None else read_rating(judgement.text, judgement.prompt_text)
        parsed = {"mt_bench_parsed": float(rating is not None)}
        why = judgement.text if judgement.error is None else f"the judge failed: {judgement.error}"
        if rating is None:
            return Score(value=math.nan, answer=None, explanation=f"no rating: {why}", metrics=parsed)
        return _score(sample, response, rating, parsed, why)

    def sha256(self) -> str:
        """Hash of the wording."""
        forms = [_instruction(turns, reference) for turns in (1, 2) for reference in (False, True)]
        shown = [_conversation(("q",) * n, ("r",) * n, ("a",) * n) for n in (1, 2)]
        return hashlib.sha256(json.dumps([*forms, *shown]).encode()).hexdigest()


def read_rating(text: str, prompt: str = "") -> float | None:
    """The one number in double square brackets, 1 to 10, outside any reasoning block; None when it is not one."""
    found = {float(number) for number in _RATING.findall(reasoning.read(text, prompt).answer)}
    (rating,) = found if len(found) == 1 else (math.nan,)
    return rating if LOWEST <= rating <= HIGHEST else None


def _score(sample: Sample, response: Response, rating: float, metrics: dict[str, float], why: str) -> Score:
    return Score(
        value=(rating - LOWEST) / (HIGHEST - LOWEST),
        answer=response.text.strip() or None,
        explanation=why,
        metrics={
            **metrics,
            "mt_bench": rating,
            f"mt_bench_turn{sample.data['turn']}": rating,
            f"mt_bench_{sample.group}": rating,
        },
    )


def _instruction(turns: int, reference: bool) -> str:
    what = _FIRST if turns == 1 else _LATER
    return _TASK.replace("{what}", what).replace("{reference}", _REFERENCE if reference else "")


def _conversation(said: Sequence[str], references: Sequence[str], texts: Sequence[str]) -> str:
    """The turns with their answers, before them the references where there are any."""
    blocks = [f"<reference {number}>\n{text}\n</reference {number}>" for number, text in enumerate(references, start=1)]
    for number, (question, answer) in enumerate(zip(said, texts, strict=True), start=1):
        blocks += [f"<user {number}>\n{question}\n</user {number}>", f"<reply {number}>\n{answer}\n</reply {number}>"]
    return "\n\n".join([*blocks, f"Grade reply {len(said)}."])
