"""Engines whose answers are made up: what a job does with answers, without a model."""

from collections.abc import Iterator, Sequence

from support import flat_response
from wattrack.answering import ALL, Load
from wattrack.facts import EngineFacts, EngineIdentity
from wattrack.protocols import Capabilities
from wattrack.schema import ChoiceRequest, Request, Response


class TextEngine:
    """Answers every request with the same text and knows no log-probabilities."""

    def __init__(self, *, text: str = "#### 1", **settings: object) -> None:
        self._text = text
        self.asked: list[int] = []
        """Requests in each call."""
        self.computed_tokens = 0

    def check(self) -> EngineIdentity:
        return EngineIdentity(model="scripted", revision=None)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    def close(self) -> None: ...

    def load(self) -> EngineFacts:
        return self.facts()

    def facts(self) -> EngineFacts:
        return EngineFacts(mode="scripted")

    def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
        if load.kind == "one" and len(requests) > 1:
            yield from (answer for request in requests for answer in self.generate([request], load))
            return
        self.asked.append(len(requests))
        for r in requests:
            yield flat_response(
                sample_id=r.sample_id, repeat=r.repeat, text=self._text, finish_reason="stop", input_tokens=3,
                output_tokens=2, token_times_s=(0.1, 0.2), latency_s=0.2,
            )  # fmt: skip


class ChoiceEngine(TextEngine):
    """Finds the continuation most probable whose place is `choice`, by `lead` before the next; answers in reverse."""

    def __init__(self, *, choice: int = 0, lead: float = 1.0, **settings: object) -> None:
        super().__init__()
        self._choice, self._lead = choice, lead

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(loglikelihood=self.loglikelihood)

    def loglikelihood(self, requests: Sequence[ChoiceRequest], load: Load = ALL) -> Iterator[Response]:
        if load.kind == "one" and len(requests) > 1:
            yield from (answer for request in requests for answer in self.loglikelihood([request], load))
            return
        self.asked.append(len(requests))
        for r in reversed(requests):
            best = min(self._choice, len(r.candidates) - 1)
            logprobs = [-3.0 - self._lead * (number != best) for number in range(len(r.candidates))]
            yield flat_response(
                sample_id=r.sample_id, repeat=r.repeat, text=r.candidates[best].continuation.strip(),
                finish_reason="stop", input_tokens=40, output_tokens=0, latency_s=0.5,
                prompt_text=r.candidates[0].context, logprobs=tuple(logprobs), merged_boundaries=0,
            )  # fmt: skip
