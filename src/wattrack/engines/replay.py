"""An engine that answers from a responses.jsonl: re-scoring without a model, and tests."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wattrack.answering import ALL, Load
from wattrack.engines.rows import failed
from wattrack.errors import DatasetError, EngineError
from wattrack.facts import EngineFacts, EngineIdentity
from wattrack.journal import read_journal
from wattrack.protocols import Capabilities, Requests
from wattrack.schema import ChoiceRequest, Request, Response


class ReplayEngine:
    """Gives back recorded responses by (sample id, repeat); of several the last one wins."""

    def __init__(self, path: str) -> None:
        """`path` is the responses.jsonl of an earlier job; read by `check` or `load`, not here."""
        self._path = Path(path)
        self._responses: dict[tuple[str, int], Response] | None = None
        self.computed_tokens = 0
        """Replaying computes nothing."""

    def check(self) -> EngineIdentity:
        """Read the journal; the model is the file.

        Raises:
            EngineError: it is missing or damaged.
        """
        try:
            recorded = read_journal(self._path)
        except DatasetError as e:
            raise EngineError(f"cannot replay: {e}") from e
        self._responses = {(response.sample_id, response.repeat): response for response in recorded}
        return EngineIdentity(model=str(self._path), revision=None)

    @property
    def capabilities(self) -> Capabilities:
        """Whatever was recorded: choices, and answers that were constrained."""
        return Capabilities(loglikelihood=self.loglikelihood, check_constraints=lambda: None)

    def load(self) -> EngineFacts:
        """Read the journal; see `facts`.

        Raises:
            EngineError: it is missing or damaged.
        """
        self.check()
        return self.facts()

    def facts(self) -> EngineFacts:
        """The file and how many responses it holds.

        Raises:
            EngineError: called before `load`.
        """
        responses = self._ready()
        shown = {"replay/path": str(self._path), "replay/responses": len(responses)}
        return EngineFacts(where="elsewhere", replayed=True, mode="replay", shown=shown)

    def _ready(self) -> Mapping[tuple[str, int], Response]:
        if self._responses is None:
            raise EngineError("the replay engine is not loaded: call load() first")
        return self._responses

    def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
        """Yield the recorded response of each request, in order; one without a record is a failed response.

        Raises:
            EngineError: called before `load`.
        """
        return self._recorded(requests, load)

    def loglikelihood(self, requests: Sequence[ChoiceRequest], load: Load = ALL) -> Iterator[Response]:
        """As `generate`, for choice questions.

        Raises:
            EngineError: called before `load`.
        """
        return self._recorded(requests, load)

    def _recorded(self, requests: Requests, load: Load) -> Iterator[Response]:
        if load.kind not in ("all", "one"):
            raise EngineError(f"recorded answers take load=all or load=one, not {load.kind}")
        responses = self._ready()
        for request in requests:
            known = responses.get((request.sample_id, request.repeat))
            where = f"for {request.sample_id}, repeat {request.repeat}, in {self._path}"
            if known is None:
                yield failed(request, f"no recorded response {where}")
            elif isinstance(request, ChoiceRequest) and known.error is None:
                if len(known.logprobs) == len(request.candidates):
                    yield known
                else:
                    found = f"{len(known.logprobs)} log-probabilities for {len(request.candidates)} candidates"
                    yield failed(request, f"{found} {where}")
            else:
                yield known

    def close(self) -> None:
        """Forget the responses."""
        self._responses = None
