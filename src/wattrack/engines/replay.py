"""An engine that answers from a responses.jsonl: re-scoring without a model, and tests."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wattrack.engines.batching import failed
from wattrack.errors import DatasetError, EngineError
from wattrack.journal import read_journal
from wattrack.schema import ChoiceRequest, Request, Response


class ReplayEngine:
    """Gives back recorded responses by (sample id, repeat); of several the last one wins."""

    def __init__(self, path: str) -> None:
        """`path` is the responses.jsonl of an earlier job; read by `check` or `load`, not here."""
        self._path = Path(path)
        self._responses: dict[tuple[str, int], Response] | None = None
        self.computed_tokens = 0
        """Replaying computes nothing."""

    def check(self) -> None:
        """Read the journal.

        Raises:
            EngineError: it is missing or damaged.
        """
        try:
            recorded = read_journal(self._path)
        except DatasetError as e:
            raise EngineError(f"cannot replay: {e}") from e
        self._responses = {(response.sample_id, response.repeat): response for response in recorded}

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
        if self._responses is None:
            raise EngineError("the replay engine is not loaded: call load() first")
        for request in requests:
            known = self._responses.get((request.sample_id, request.repeat))
            reason = f"no recorded response for {request.sample_id}, repeat {request.repeat}, in {self._path}"
            yield known if known is not None else failed(request, reason)

    def synchronize(self) -> None:
        """Nothing runs on a device."""

    def close(self) -> None:
        """Forget the responses."""
        self._responses = None
