"""Answers compared with reference texts by an embedding model."""

from wattrack.metrics.metric import Metric

_TOLD = "`wattrack score` says it when it has compared the answers"

ROWS = {
    "quality/similarity_mean": Metric(
        "1",
        "higher",
        "cosine of the embeddings of answer and reference text, -1 to 1; failed and empty ones left out",
        not_shown=_TOLD,
    ),
    "quality/similarity_n": Metric(
        "answers", "neither", "answers whose similarity to a reference text is known", not_shown=_TOLD
    ),
    "quality/similarity_truncated_rate": Metric(
        "1",
        "lower",
        "share of those where the embedder did not read all of answer and reference",
        not_shown=_TOLD,
    ),
}
