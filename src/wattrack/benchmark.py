"""The measured loop: collect() runs the engine inside a window and journals; score_all() judges off the clock."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from wattrack.errors import EngineError
from wattrack.journal import Journal
from wattrack.protocols import Engine, Scorer
from wattrack.schema import Record, Request, Response, Sample


class Windows(Protocol):
    """The part of the meter that a measured loop needs."""

    def window(self, name: str) -> AbstractContextManager[object]:
        """Open a named measured window."""


OnResponse = Callable[[Response], None]


def collect(
    engine: Engine, requests: Sequence[Request], meter: Windows, journal: Journal, on_response: OnResponse
) -> list[Response]:
    """Answer every request inside the window `generate`; each response is journalled as it arrives.

    Returns one response per request, in request order. EngineError when the engine left one out or made one up, or
    when every single one failed: that is a broken setup, not a score of 0.
    """
    found: dict[tuple[str, int], Response] = {}
    with meter.window("generate"):
        for response in engine.generate(requests):
            journal.append(response)
            found[response.sample_id, response.repeat] = response
            on_response(response)
    keys = [(r.sample_id, r.repeat) for r in requests]
    if found.keys() != set(keys):
        raise EngineError(f"the engine answered {len(found)} of {len(keys)} requests; the rest are missing")
    responses = [found[key] for key in keys]
    if all(r.error is not None for r in responses):
        raise EngineError(f"none of the {len(keys)} questions could be answered; the first: {responses[0].error}")
    return responses


def latency_probe(engine: Engine, requests: Sequence[Request], meter: Windows) -> list[Response]:
    """The same questions one at a time, in the window `probe` (MLPerf's single-stream scenario)."""
    if not requests:
        return []
    with meter.window("probe"):
        return [response for request in requests for response in engine.generate([request])]


def warm_up(engine: Engine, requests: Sequence[Request], meter: Windows) -> None:
    """The engine's self-test, a short batch and a single request: first-use costs are nobody's throughput or latency."""
    short = [replace(r, generation=replace(r.generation, max_new_tokens=8)) for r in requests[:2]]
    with meter.window("warmup"):
        engine.self_test()
        for batch in (short, short[:1]):
            for _ in engine.generate(batch):
                pass


def score_all(
    samples: Sequence[Sample], responses: Sequence[Response], scorer: Scorer, meter: Windows
) -> tuple[Record, ...]:
    """One record per response, in the order given, in the window `score`."""
    by_id = {sample.id: sample for sample in samples}
    with meter.window("score"):
        return tuple(record(by_id[r.sample_id], r, scorer) for r in responses)


def record(sample: Sample, response: Response, scorer: Scorer) -> Record:
    """The row that is written to disk, shown in MLflow and analysed."""
    score = scorer(sample, response)
    return Record(
        id=sample.id,
        repeat=response.repeat,
        question=sample.question,
        output=response.text,
        target=sample.target,
        answer=score.answer,
        score=score.value,
        metrics=score.metrics,
        explanation=score.explanation,
        group=sample.group,
        finish_reason=response.finish_reason,
        error=response.error,
        input_tokens=response.input_tokens,
        output_tokens=response.output_tokens,
        latency_s=response.latency_s,
        ttft_s=response.token_times_s[0] if response.token_times_s else None,
        batch_size=response.batch_size,
        prompt_text=response.prompt_text,
        started_unix_ms=response.started_unix_ms,
    )


def now_unix_ms() -> int:
    """Wall clock, for time axes only; durations come from perf_counter."""
    return time.time_ns() // 1_000_000
