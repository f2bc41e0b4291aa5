"""Every seam of the program on one screen: what an engine, a monitor, a task and a scorer must offer."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wattrack.answering import ALL, Load
from wattrack.facts import EngineFacts, EngineIdentity
from wattrack.schema import ChoiceRequest, Energy, Request, Response, Sample, Score

Row = Mapping[str, object]
"""One row of a dataset, as the hub publishes it."""

Requests = Sequence[Request | ChoiceRequest]

Scorer = Callable[[Sample, Response], Score]
"""Pure: the same sample and response give the same score, without a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do beyond answering, each as the call that does it; None = it cannot, or need not."""

    loglikelihood: Callable[[Sequence[ChoiceRequest], Load], Iterator[Response]] | None = None
    """One Response with `logprobs` for each request, as `Engine.generate`; hosted APIs seldom can."""
    check_constraints: Callable[[], None] | None = None
    """Refuses where what `Request.constraint` needs is not installed (EngineError, one line, without importing torch).
    None = answers cannot be constrained."""
    prepare: Callable[[Requests], None] | None = None
    """Does what only the first job of a process pays for (imports), so that no measured phase holds it; EngineError
    when the requests would not fit into memory, with the numbers and what would fit."""
    self_test: Callable[[], None] | None = None
    """Checks on the loaded model that fast ways of computing give the plain way's answers; facts tell the result."""
    synchronize: Callable[[], None] | None = None
    """Waits until the device has finished."""


class Engine(Protocol):
    """Answers requests with one model. Built cheaply: its constructor stores and checks, `load` does the heavy work.

    Every request gets exactly one Response, in any order, as soon as it is there; one that cannot be answered is a
    Response with `error` and `error_kind`, and the others go on. The engine owns batching; it may own threads and a
    clock of its own, and never waits for its consumer to take an answer.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What else it can do; known before `load`."""

    @property
    def computed_tokens(self) -> int:
        """Token positions computed so far, padding excluded; grows with every `generate`. 0 where nothing is computed
        in this process."""

    def check(self) -> EngineIdentity:
        """Find the model and say which it is, before anything is loaded.

        EngineError, one line, within seconds: model missing, gated, hub unreachable, does not fit.
        """

    def load(self) -> EngineFacts:
        """Make the model ready. Returns `facts`."""

    def facts(self) -> EngineFacts:
        """What it found out: effective settings, revision, sizes. Some change while generating.

        EngineError before `load`.
        """

    def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
        """Yield one Response for each request, which arrive as `load` says.

        EngineError: not loaded, a load that this engine does not know, or nothing works at all.
        """

    def close(self) -> None:
        """Free the model's memory. Idempotent."""


class Judging(Protocol):
    """How another model is asked about answers that no program can rate, and how its replies are read."""

    @property
    def version(self) -> int:
        """Number that grows when the judge's prompts or the reading of its replies change."""

    def request(self, sample: Sample, texts: Sequence[str], repeat: int) -> Request:
        """What the judge is asked about the last of `texts`, the model's answers up to this turn."""

    def grade(self, sample: Sample, response: Response, judgement: Response | None) -> Score:
        """The grade in the judge's reply; None = the answer failed and was not shown to it."""

    def sha256(self) -> str:
        """Hash of the wording."""


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
