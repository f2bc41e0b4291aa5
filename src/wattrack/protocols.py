"""Every seam of the program on one screen: what an engine, a monitor, a task and a scorer must offer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from wattrack.schema import ChoiceRequest, Energy, EngineIdentity, Request, Response, Sample, Score

Row = Mapping[str, object]
"""One row of a dataset, as the hub publishes it."""

Scorer = Callable[[Sample, Response], Score]
"""Pure: the same sample and response give the same score, without a model."""


class Engine(Protocol):
    """Runs requests on one model. Built cheaply; `load` does the heavy work."""

    @property
    def computed_tokens(self) -> int:
        """Token positions computed so far, padding excluded; grows with every `generate`."""

    def check(self) -> EngineIdentity:
        """Find the model and say which it is, before anything is loaded.

        EngineError, one line, within seconds: model missing, gated, hub unreachable, does not fit.
        """

    def prepare(self, requests: Sequence[Request | ChoiceRequest] = ()) -> None:
        """Do what only the first job of a process pays for (imports), so that no measured phase holds it.

        EngineError when `requests` would not fit into memory, with the numbers and what would fit.
        """

    def load(self) -> Mapping[str, object]:
        """Load weights and tokenizer. Returns `facts`."""

    def self_test(self) -> None:
        """Check on the loaded model that fast ways of computing give the plain way's answers; facts tell the result."""

    def facts(self) -> Mapping[str, object]:
        """What to log: effective settings, resolved revision, sizes, timings. Some change while generating."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield one Response per request as each finishes, in any order. Owns batching."""

    def synchronize(self) -> None:
        """Wait until the device has finished; a no-op on CPU."""

    def close(self) -> None:
        """Free the model's memory. Idempotent."""


@runtime_checkable
class LoglikelihoodEngine(Engine, Protocol):
    """An engine that also says how probable given texts are; hosted APIs do not."""

    def loglikelihood(self, requests: Sequence[ChoiceRequest]) -> Iterator[Response]:
        """Yield one Response with `logprobs` per request as each finishes, in any order. Owns batching."""


class Judging(Protocol):
    """How another model is asked about answers that no program can rate, and how its replies are read."""

    @property
    def version(self) -> int:
        """Of wording and reading."""

    def request(self, sample: Sample, texts: Sequence[str], repeat: int) -> Request:
        """What the judge is asked about the last of `texts`, the model's answers up to this turn."""

    def grade(self, sample: Sample, response: Response, judgement: Response | None) -> Score:
        """The grade in the judge's reply; None = the answer failed and was not shown to it."""

    def sha256(self) -> str:
        """Hash of the wording."""


@runtime_checkable
class ConstrainingEngine(Engine, Protocol):
    """An engine that can hold answers to a `Request.constraint`."""

    def check_constraints(self) -> None:
        """Refuse when what that needs is not installed: EngineError, one line, without importing torch."""


class Monitor(Protocol):
    """Reads one family of sensors. Built cheaply; `open` finds the hardware."""

    name: str

    def open(self) -> None:
        """Start. Raises MonitorError with the reason when the hardware or permission is missing."""

    def begin(self) -> object:
        """State at the opening edge of a window: counters, peak resets. Opaque to the caller."""

    def end(self, state: object) -> tuple[Mapping[str, Energy], Mapping[str, float]]:
        """(energy by part, peaks by metric name) since `begin` gave `state`."""

    def sample(self) -> Mapping[str, float]:
        """Instantaneous values by MLflow system-metric name; what cannot be read is left out."""

    def facts(self) -> Mapping[str, str]:
        """Hardware found, for tags: names, driver versions, method used."""

    def close(self) -> None:
        """Release handles. Idempotent."""
