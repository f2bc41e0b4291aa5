"""Engines whose answers are made up: what a job does with answers, without a model."""

from collections.abc import Iterator, Sequence

from wattrack.schema import ChoiceRequest, EngineIdentity, Request, Response


class TextEngine:
    """Answers every request with the same text and knows no log-probabilities."""

    def __init__(self, *, text: str = "#### 1", **settings: object) -> None:
        self._text = text
        self.asked: list[int] = []
        """Requests in each call."""
        self.computed_tokens = 0

    def check(self) -> EngineIdentity:
        return EngineIdentity(model="scripted", revision=None)

    def prepare(self, requests: Sequence[Request | ChoiceRequest] = ()) -> None: ...
    def self_test(self) -> None: ...
    def synchronize(self) -> None: ...
    def close(self) -> None: ...

    def load(self) -> dict[str, object]:
        return self.facts()

    def facts(self) -> dict[str, object]:
        return {"engine/mode": "scripted"}

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        self.asked.append(len(requests))
        for r in requests:
            yield Response(
                sample_id=r.sample_id, repeat=r.repeat, text=self._text, finish_reason="stop", input_tokens=3,
                output_tokens=2, token_times_s=(0.1, 0.2), latency_s=0.2,
            )  # fmt: skip


class ChoiceEngine(TextEngine):
    """Finds the continuation most probable whose place is `choice`, by `lead` before the next; answers in reverse."""

    def __init__(self, *, choice: int = 0, lead: float = 1.0, **settings: object) -> None:
        super().__init__()
        self._choice, self._lead = choice, lead

    def loglikelihood(self, requests: Sequence[ChoiceRequest]) -> Iterator[Response]:
        self.asked.append(len(requests))
        for r in reversed(requests):
            best = min(self._choice, len(r.candidates) - 1)
            logprobs = [-3.0 - self._lead * (number != best) for number in range(len(r.candidates))]
            yield Response(
                sample_id=r.sample_id, repeat=r.repeat, text=r.candidates[best].continuation.strip(),
                finish_reason="stop", input_tokens=40, output_tokens=0, latency_s=0.5,
                prompt_text=r.candidates[0].context, logprobs=tuple(logprobs), merged_boundaries=0,
            )  # fmt: skip
