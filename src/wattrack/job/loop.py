"""The measured loop: collect() runs the engine inside a window and journals every answer."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import groupby
from typing import Protocol

from wattrack.answering import ALL, ONE, Load
from wattrack.engines.rows import failed
from wattrack.errors import EngineError
from wattrack.journal import Journal
from wattrack.protocols import Engine, Requests
from wattrack.schema import ChoiceRequest, Request, Response
from wattrack.scorers import reasoning


class Windows(Protocol):
    """The part of the meter that a measured loop needs."""

    def window(self, name: str) -> AbstractContextManager[object]:
        """Open a named measured window."""


OnResponse = Callable[[Response], None]


def answers(engine: Engine, requests: Requests, load: Load = ALL) -> Iterator[Response]:
    """Every request by the engine's method for its kind; EngineError when the engine has none."""
    if choices := [r for r in requests if isinstance(r, ChoiceRequest)]:
        if (loglikelihood := engine.capabilities.loglikelihood) is None:
            raise EngineError(f"{type(engine).__name__} gives no log-probabilities, which multiple choice needs")
        yield from loglikelihood(choices, load)
    if texts := [r for r in requests if isinstance(r, Request)]:
        yield from engine.generate(texts, load)


def collect(
    engine: Engine,
    requests: Requests,
    meter: Windows,
    journal: Journal,
    on_response: OnResponse,
    carried: Sequence[Response] = (),
) -> list[Response]:
    """Answer every request inside the window `generate`; each response is journalled as it arrives.

    What is in `carried`, answers from before an interruption, is not asked again; with nothing left, no window opens.
    Returns one response per request, in request order. EngineError when the engine left one out or made one up, or
    when every single one failed: that is a broken setup, not a score of 0.
    """
    found = {(r.sample_id, r.repeat): r for r in carried}
    left = [r for r in requests if (r.sample_id, r.repeat) not in found]
    if left:
        with meter.window("generate"):
            for turn in _turns(left):
                for response in _answers_to_turn(engine, turn, found):
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


def _turns(requests: Requests) -> list[list[Request | ChoiceRequest]]:
    """Requests that stand alone, then those that continue one answer, then two, and so on."""
    ordered = sorted(requests, key=_answers_needed)
    return [list(turn) for _, turn in groupby(ordered, key=_answers_needed)]


def _answers_needed(request: Request | ChoiceRequest) -> int:
    return len(request.after) if isinstance(request, Request) else 0


def openings(requests: Requests) -> Requests:
    """The requests that continue no answer: those that can be asked at any time."""
    return [r for r in requests if not _answers_needed(r)]


def foreseen(requests: Requests) -> Requests:
    """What memory must hold: a later turn takes its own tokens and those that the answers before it may have."""
    return [
        replace(r, generation=replace(r.generation, max_new_tokens=r.generation.max_new_tokens * (1 + len(r.after))))
        if isinstance(r, Request) and r.after
        else r
        for r in requests
    ]


def _answers_to_turn(engine: Engine, turn: Requests, found: Mapping[tuple[str, int], Response]) -> Iterator[Response]:
    """A turn that continues a failed answer cannot be asked and fails too."""
    ready: list[Request | ChoiceRequest] = []
    for request in turn:
        if isinstance(request, Request) and request.after:
            before = [found[sample_id, request.repeat] for sample_id in request.after]
            if any(response.error is not None for response in before):
                yield failed(request, "an earlier turn of the conversation failed")
                continue
            # A conversation goes on from what the user was told, whatever the chat template does with reasoning.
            told = [reasoning.read(response.text, response.prompt_text).told for response in before]
            request = with_answers(request, told)
        ready.append(request)
    yield from answers(engine, ready)


def with_answers(request: Request, texts: Sequence[str]) -> Request:
    """The request with the model's own earlier answers in its assistant turns."""
    assert not isinstance(request.prompt, str)
    given = iter(texts)
    prompt = tuple(replace(m, content=next(given)) if m.role == "assistant" else m for m in request.prompt)
    return replace(request, prompt=prompt)


def latency_probe(engine: Engine, requests: Requests, meter: Windows) -> list[Response]:
    """The same questions one at a time, in the window `probe`."""
    if not requests:
        return []
    with meter.window("probe"):
        return list(answers(engine, requests, ONE))


def warm_up(engine: Engine, requests: Requests, meter: Windows) -> None:
    """The engine's self-test, a short batch and a single request: first-use costs are nobody's latency."""
    short = [_shortened(r) for r in requests[:2]]
    with meter.window("warmup"):
        if (self_test := engine.capabilities.self_test) is not None:
            self_test()
        for batch in (short, short[:1]):
            for _ in answers(engine, batch):
                pass


def _shortened(request: Request | ChoiceRequest) -> Request | ChoiceRequest:
    if isinstance(request, ChoiceRequest):
        return request
    return replace(request, generation=replace(request.generation, max_new_tokens=8))


def now_unix_ms() -> int:
    """Wall clock, for time axes only; durations come from perf_counter."""
    return time.time_ns() // 1_000_000
