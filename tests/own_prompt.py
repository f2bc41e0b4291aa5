"""A way of asking of a user's own."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from wattrack.prompts.shots import Draw
from wattrack.schema import Generation, Request, Sample


class Own:
    """Says one word, whatever the question."""

    asks_logprobs: ClassVar[bool] = False
    constrained = False
    draw: Draw | None = None

    def __init__(self, *, rule: Callable[[str], str] = str.strip, **settings: Any) -> None:
        self._word = rule(settings["word"])

    def prepared(self, every: Sequence[Sample], material: object) -> "Own":
        return self

    def turns(self, sample: Sample) -> Sequence[Sample]:
        return (sample,)

    def request(self, sample: Sample, seed: int, repeat: int) -> Request:
        return Request(
            sample_id=sample.id, repeat=repeat, prompt=self._word, generation=Generation(max_new_tokens=1), seed=seed
        )

    def sha256(self) -> str:
        return self._word
