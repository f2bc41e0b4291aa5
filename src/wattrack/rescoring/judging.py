"""Answers rated by a judge model: a second engine, asked after everything that is measured."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from wattrack.job import grading, loop
from wattrack.journal import Journal
from wattrack.progress import JobProgress
from wattrack.prompts.turns import turn_id
from wattrack.protocols import Engine, Judging
from wattrack.runs.layout import JUDGEMENTS
from wattrack.schema import Record, Request, Response, Sample, Score
from wattrack.scorers import reasoning


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The graded answers and which weights graded them."""

    records: tuple[Record, ...]
    revision: str | None
    """Resolved commit of the judge's checkpoint; None of a local one, and where a program graded."""


class _Unmeasured:
    """Windows that nobody reads: judging is no part of the measurement."""

    @contextmanager
    def window(self, name: str) -> Iterator[None]:
        """Opens nothing."""
        yield


def judge(
    engine: Engine,
    judging: Judging,
    samples: Sequence[Sample],
    responses: Sequence[Response],
    folder: Path,
    console: Console,
) -> Judged:
    """Ask the judge about every answer that did not fail; its words go to JUDGEMENTS in `folder` as they come.

    The judge sees no reasoning, as any scorer. `engine` has been checked, and is closed in the end.
    EngineError when the judge cannot be loaded or answers nothing at all.
    """
    by_id = {sample.id: sample for sample in samples}
    texts = {(r.sample_id, r.repeat): reasoning.read(r.text, r.prompt_text).told for r in responses}
    requests = [_request(judging, by_id[r.sample_id], r, texts) for r in responses if r.error is None]
    try:
        if (prepare := engine.capabilities.prepare) is not None:
            prepare(requests)
        revision = engine.load().revision
        with (
            Journal(folder / JUDGEMENTS) as journal,
            JobProgress(console, "judge", len(requests), lambda response: float("nan")) as progress,
        ):
            said = loop.collect(engine, requests, _Unmeasured(), journal, progress)
    finally:
        engine.close()
    found = {(j.sample_id, j.repeat): j for j in said}

    def grade(sample: Sample, response: Response) -> Score:
        return judging.grade(sample, response, found.get((response.sample_id, response.repeat)))

    return Judged(records=grading.records(samples, responses, grade), revision=revision)


def _request(judging: Judging, sample: Sample, response: Response, texts: Mapping[tuple[str, int], str]) -> Request:
    """About one answer, with the answers of the conversation before it."""
    conversation, turn = str(sample.data["conversation"]), int(str(sample.data["turn"]))
    said = [texts[turn_id(conversation, number), response.repeat] for number in range(1, turn + 1)]
    return judging.request(sample, said, response.repeat)
