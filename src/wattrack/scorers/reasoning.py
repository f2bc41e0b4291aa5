"""Reasoning blocks: what a model writes for itself before it answers; `Task.score` takes them off for every scorer.

A block ends with the last closing mark of the reply. Its opening mark may stand in the prompt, where the chat template
writes it (DeepSeek-R1), so a reply can hold the closing mark alone, or none at all when it was cut off while thinking.
A block that never closes holds no answer. Engines that have the generated ids keep marks that are special tokens
(Mistral's) in the text, where others lose them. Channels that are headers of several special tokens (gpt-oss) are not
told from answers.
"""

import re
from dataclasses import dataclass

_NAMES = "think|thinking|thought|thoughts|reasoning|seed:think"
"""Tags in use: `think` by most (DeepSeek-R1, Qwen3, GLM-4.5), `seed:think` by Seed-OSS, the others by prompts."""
_OPEN = re.compile(rf"<(?:{_NAMES})>|\[THINK\]|<\|begin_of_thought\|>", re.IGNORECASE)
_CLOSE = re.compile(rf"</(?:{_NAMES})>|\[/THINK\]|<\|end_of_thought\|>", re.IGNORECASE)
_BLANK_LINES = re.compile(r"\A(?:[^\S\n]*\n)+")
_OPEN_AT_END = re.compile(rf"(?:{_OPEN.pattern})\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A generated text in its parts: reasoning, the answer, and reasoning again where a later block never closes."""

    thinking_chars: int
    """Characters that are no answer: reasoning, its marks and what stands before it."""
    answer: str
    """The text itself where there is no block."""
    unfinished: bool
    """Whether the last block never closes."""
    start: int = 0
    """Characters before the answer."""
    closing: str = ""
    """The mark that ends at `start`; empty where no block ends."""
    opening: str = ""
    """The mark right behind the answer, of a block that never closes; empty where the text holds none."""

    @property
    def told(self) -> str:
        """The answer without the blank lines that models write between their reasoning and it."""
        return _BLANK_LINES.sub("", self.answer) if self.closing else self.answer


def is_mark(text: str) -> bool:
    """Whether `text` is an opening or a closing mark and nothing else."""
    return (_OPEN.fullmatch(text) or _CLOSE.fullmatch(text)) is not None


def read(text: str, prompt: str = "") -> Reply:
    """`text` without reasoning blocks; `prompt` is the rendered prompt, which may end with an opening mark."""
    start, closing = 0, ""
    for mark in _CLOSE.finditer(text):
        start, closing = mark.end(), mark.group()
    if not closing and _OPEN_AT_END.search(prompt[-100:]):
        return Reply(thinking_chars=len(text), answer="", unfinished=True)
    opened = _OPEN.search(text, start)
    answer = text[start : opened.start()] if opened else text[start:]
    return Reply(
        thinking_chars=len(text) - len(answer),
        answer=answer,
        unfinished=opened is not None,
        start=start,
        closing=closing,
        opening=opened.group() if opened else "",
    )
