"""Programs: found in the answer, run against the tests of the question in a sandbox.

`sample.data` holds `prompt` (code that stands before the answer), `tests` (run after it) and `own` (the names that the
answer must define). `pass_at_1` reads the answer as the benchmark's authors do; `pass_at_1_flexible` also finds
programs that are wrapped in or followed by text. No answer is parsed or compiled in this process: that is the sandbox's
work.
"""

import re
from collections.abc import Sequence
from typing import Literal

from wattrack.errors import ScoringError
from wattrack.sandbox.check import Program, Sandbox, Verdict
from wattrack.schema import Response, Sample, Score

Form = Literal["completion", "chat"]

_FUTURE = re.compile(r"^from __future__ import .*$\n?", re.MULTILINE)
_BEGINNING = re.compile(r"^(?:@\w|(?:async )?def \w|class \w|import \w|from [\w.]+ import )", re.MULTILINE)
_CODE_LINE = re.compile(
    r"\s|[@#)\]}]|(?:async )?def \w|class \w|import \w|from [\w.]+ import |(?:if|for|while|with|elif|except) .*:|"
    r"(?:try|else|finally|except):|\w+(?:\[.*\])?(?:: [^=]+)? ?[-+*/]?= ?\S|[\w.]+\(|assert "
)
"""A line that can follow in a module; prose and lists of text cannot."""


def score(sample: Sample, response: Response, *, sandbox: Sandbox, form: Form) -> Score:
    """`pass_at_1` and `pass_at_1_flexible`; the answer shown is the code that was found.

    In the form `chat` also `format_compliance`: there is a closed fenced block.

    Args:
        sample: with `prompt`, `tests` and `own` in its data.
        response: the model's text, cut at the protocol's stop strings.
        sandbox: runs the program; equal programs once.
        form: `completion` continues the prompt; `chat` is text with a fenced block.
    """
    prompt, tests, own = _data(sample)
    strict = response.text if form == "completion" and response.text.strip() else None
    if form == "chat":
        strict = chosen(closed_blocks(response.text), own)
    loose = flexible(response.text, own)
    verdicts = [
        None if code is None else sandbox.check(Program(code=_joined(prompt, code, continues), tests=tests, own=own))
        for code, continues in ((strict, form == "completion"), (loose, not _defines(loose or "", own)))
    ]
    metrics = {
        name: float(verdict is not None and verdict.passed)
        for name, verdict in zip(("pass_at_1", "pass_at_1_flexible"), verdicts, strict=True)
    }
    if form == "chat":
        metrics["format_compliance"] = float(strict is not None)
    answer = strict if strict is not None else loose
    return Score(value=metrics["pass_at_1"], answer=answer, explanation=_explain(verdicts), metrics=metrics)


def closed_blocks(text: str) -> list[str]:
    """The contents of all fenced blocks that have an end, in order, without the fence's own indentation."""
    return _blocks(text)[0]


def chosen(blocks: Sequence[str], own: Sequence[str]) -> str | None:
    """The first block that defines what is asked for, else the first that is not blank."""
    written = [block for block in blocks if block.strip()]
    return next((block for block in written if _defines(block, own)), written[0] if written else None)


def flexible(text: str, own: Sequence[str]) -> str | None:
    """The code in any text: a block, closed or not; or from the first line of code on, up to prose; None of nothing."""
    closed, unfinished = _blocks(text)
    if (block := chosen([*closed, *unfinished], own)) is not None:
        return block
    first = next((line for line in text.split("\n") if line.strip()), "")
    if not _CODE_LINE.match(first) and (begin := _BEGINNING.search(text)):
        text = text[begin.start() :]
    kept: list[str] = []
    for line in text.split("\n"):
        if line.strip() and not _CODE_LINE.match(line):
            break
        kept.append(line)
    code = "\n".join(kept)
    return code if code.strip() else None


def _blocks(text: str) -> tuple[list[str], list[str]]:
    """(closed blocks, the last one if it has no end)."""
    closed: list[str] = []
    lines: list[str] | None = None
    indent = 0
    for line in text.split("\n"):
        bare = line.strip()
        if bare.startswith("```") and "```" not in bare[3:]:
            if lines is not None:
                closed.append("\n".join(lines) + "\n")
            # Words after the fence open a block even where another was never closed.
            lines = [] if lines is None or len(bare) > 3 else None
            indent = len(line) - len(line.lstrip())
        elif lines is not None:
            lines.append(line[indent:] if not line[:indent].strip() else line)
    return closed, [] if lines is None else ["\n".join(lines) + "\n"]


def _defines(code: str, own: Sequence[str]) -> bool:
    return any(re.search(rf"^(?:(?:async )?def|class) {re.escape(name)}\b", code, re.MULTILINE) for name in own)


def _joined(prompt: str, code: str, continues: bool) -> str:
    """The whole program; code that is complete by itself comes after the prompt's own imports and helpers."""
    if continues:
        return prompt + code
    future = "".join(line.rstrip("\n") + "\n" for line in _FUTURE.findall(code))
    return f"{future}{prompt}\n{_FUTURE.sub('', code)}"


def _explain(verdicts: Sequence[Verdict | None]) -> str:
    told = ["no code found" if v is None else f"{v.kind}: {v.detail}" if v.detail else v.kind for v in verdicts]
    return told[0] if told[0] == told[1] else f"{told[0]}; flexible: {told[1]}"


def _data(sample: Sample) -> tuple[str, str, tuple[str, ...]]:
    prompt, tests, own = (sample.data.get(name) for name in ("prompt", "tests", "own"))
    if not isinstance(prompt, str) or not isinstance(tests, str) or not isinstance(own, list | tuple):
        raise ScoringError(
            f"{sample.id}: the sample has no tests: its dataset's to_sample must give prompt, tests, own"
        )
    return prompt, tests, tuple(map(str, own))
