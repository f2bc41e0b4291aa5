"""An engine that answers from a responses.jsonl: re-scoring without a model, and tests."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wattrack.engines.batching import failed
from wattrack.errors import DatasetError, EngineError
from wattrack.journal import read_journal
from wattrack.schema import ChoiceRequest, EngineIdentity, Request, Response


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

    def check_constraints(self) -> None:
        """What was recorded is what there is."""

    def prepare(self, requests: Sequence[Request | ChoiceRequest] = ()) -> None:
        """Nothing to import."""

    def self_test(self) -> None:
        """Nothing is computed."""

    def load(self) -> Mapping[str, object]:
        """Read the journal; see `facts`.

        Raises:
            EngineError: it is missing or damaged.
        """
        self.check()
        return self.facts()

    def facts(self) -> dict[str, object]:
        """The file and how many responses it holds."""
        count = len(self._responses or {})
        return {"engine/mode": "replay", "replay/path": str(self._path), "replay/responses": count}

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        """Yield the recorded response of each request, in order; one without a record is a failed response.

        Raises:
            EngineError: called before `load`.
        """
        return self._recorded(requests)

    def loglikelihood(self, requests: Sequence[ChoiceRequest]) -> Iterator[Response]:
        """As `generate`, for choice questions.

        Raises:
            EngineError: called before `load`.
        """
        return self._recorded(requests)

    def _recorded(self, requests: Sequence[Request] | Sequence[ChoiceRequest]) -> Iterator[Response]:
        if self._responses is None:
            raise EngineError("the replay engine is not loaded: call load() first")
        for request in requests:
            known = self._responses.get((request.sample_id, request.repeat))
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

    def synchronize(self) -> None:
        """Nothing runs on a device."""

    def close(self) -> None:
        """Forget the responses."""
        self._responses = None
