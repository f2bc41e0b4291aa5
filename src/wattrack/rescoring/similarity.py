"""Answers compared with their references by an embedding model, after everything that is measured; off unless named.

The similarity is the cosine of the two vectors, -1 to 1: 1 for the same text, and hardly ever near 0 for texts of one
language, so that only figures of the same embedder can be compared. It says that texts are alike, not that an answer is
right ("It is 12" and "It is 21" are alike), and never becomes the score.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from wattrack.errors import DatasetError
from wattrack.rescoring.embedder import Embedder
from wattrack.results.stated import as_tag
from wattrack.schema import Record, Response, Sample
from wattrack.scorers import reasoning
from wattrack.scorers.number import parse

MEAN, TRUNCATED = "similarity_mean", "similarity_truncated_rate"
"""What a record gets: its similarity, and 1 where the embedder did not read all of answer and reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The records with their similarities, and what made them."""

    records: tuple[Record, ...]
    """An answer that failed or is empty and a question without a reference have none; never 0."""
    facts: dict[str, object]
    """About the embedder, by parameter name."""

    @property
    def n(self) -> int:
        """Answers that were compared."""
        return sum(MEAN in record.metrics for record in self.records)

    @property
    def embedder(self) -> str:
        """Everything that figures must share to be compared, as a tag has it."""
        told = {name.removeprefix("similarity/"): value for name, value in self.facts.items() if value != ""}
        return as_tag(told)


def reference(sample: Sample) -> str | None:
    """The text that an answer is compared with: the turn's in a conversation, else the target; no numbers."""
    text = sample.target
    if "turn" in sample.data:
        given = cast(Sequence[str], sample.data.get("references", ()))
        text = given[int(str(sample.data["turn"])) - 1] if given else ""
    return text if text.strip() and parse(text) is None else None


def require_references(protocol: str, text_reference: bool, samples: Sequence[Sample]) -> None:
    """DatasetError where there is nothing to compare an answer with."""
    if not text_reference:
        raise DatasetError(
            f"similarity.model_id: {protocol} has no reference texts to compare answers with (prompts with a "
            "`reference` and mt_bench with reference answers have)"
        )
    if not any(reference(sample) for sample in samples):
        raise DatasetError(
            f"similarity.model_id: none of the {len(samples)} questions of {protocol} has a text for a reference"
        )


def compare(
    embedder: Embedder, samples: Sequence[Sample], responses: Sequence[Response], records: Sequence[Record]
) -> Compared:
    """Each answer without its reasoning and the reference of its question; `records` in the order of `responses`.

    `embedder` is closed in the end. EngineError when it cannot be loaded or makes no finite vectors.
    """
    by_id = {sample.id: reference(sample) for sample in samples}
    pairs = [_pair(response, by_id[response.sample_id]) for response in responses]
    texts = list(dict.fromkeys(text for pair in pairs if pair for text in pair))
    try:
        embedder.load()
        facts = dict(embedder.facts())
        embedded = embedder.embed(texts) if texts else None
    finally:
        embedder.close()
    found = []
    at = {text: row for row, text in enumerate(texts)}
    for record, pair in zip(records, pairs, strict=True):
        if pair is not None and embedded is not None:
            answer, wanted = at[pair[0]], at[pair[1]]
            if (alike := cosine(embedded.vectors[answer], embedded.vectors[wanted])) is not None:
                cut = float(embedded.cut[answer] or embedded.cut[wanted])
                record = replace(record, metrics={**record.metrics, MEAN: alike, TRUNCATED: cut})
        found.append(record)
    return Compared(records=tuple(found), facts=facts)


def _pair(response: Response, wanted: str | None) -> tuple[str, str] | None:
    answer = reasoning.read(response.text, response.prompt_text).answer.strip()
    return (answer, wanted.strip()) if response.error is None and answer and wanted is not None else None


def cosine(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    """Cosine of the angle between two vectors; None where one has no direction."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return max(-1.0, min(1.0, float(a @ b) / lengths)) if lengths else None
