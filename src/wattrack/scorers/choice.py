"""Multiple choice by log-probability: the most probable choice is the answer, as it is or per character.

acc compares summed log-probabilities; acc_norm divides each by the characters of the choice and acc_bytes by its UTF-8
bytes, both without the blank before it, as lm-evaluation-harness does. Of equals the first one counts.
"""

import math
from collections.abc import Sequence

from wattrack.errors import ConfigError, ScoringError
from wattrack.schema import Response, Sample, Score

METRIC_NAMES = ("acc", "acc_norm", "acc_bytes")


def score(sample: Sample, response: Response, *, by: str = "acc", normalised: bool = False) -> Score:
    """The answer is the label chosen by the metric `by`; `normalised` adds acc_norm and acc_bytes.

    Raises:
        ScoringError: an answered question has not one log-probability for each choice.
    """
    names = METRIC_NAMES if normalised else METRIC_NAMES[:1]
    if by not in names:
        raise ConfigError(f"scorer.by={by}: must be one of {', '.join(names)}")
    values = response.logprobs
    if response.error is not None or any(math.isnan(value) for value in values):
        why = "a log-probability is not a number" if response.error is None else "no log-probabilities"
        return Score(value=0.0, answer=None, explanation=why, metrics=dict.fromkeys(names, 0.0))
    if len(values) != len(sample.choices):
        raise ScoringError(f"{sample.id}: {len(values)} log-probabilities for {len(sample.choices)} choices")
    chosen = {name: sample.labels[best(_scaled(name, sample, values))] for name in names}
    metrics = {name: float(label == sample.target) for name, label in chosen.items()}
    return Score(value=metrics[by], answer=chosen[by], explanation=_explain(sample, values, by), metrics=metrics)


def best(values: Sequence[float]) -> int:
    """Index of the largest value, the first of equals."""
    return max(range(len(values)), key=values.__getitem__)


def margin(logprobs: Sequence[float]) -> float | None:
    """Largest minus second largest summed log-probability; None where that is no number."""
    if len(logprobs) < 2:
        return None
    second, first = sorted(logprobs)[-2:]
    return first - second if math.isfinite(first - second) else None


def _scaled(name: str, sample: Sample, values: Sequence[float]) -> list[float]:
    if name == "acc":
        return list(values)
    lengths = [len(choice if name == "acc_norm" else choice.encode("utf-8", "replace")) for choice in sample.choices]
    return [value / max(1, length) for value, length in zip(values, lengths, strict=True)]


def _explain(sample: Sample, values: Sequence[float], by: str) -> str:
    """Every choice's log-probability, what decided, and how close it was."""
    parts = [_listed("log-probabilities", sample.labels, values)]
    if by != "acc":
        unit = "character" if by == "acc_norm" else "byte"
        parts.append(_listed(f"per {unit}", sample.labels, _scaled(by, sample, values)))
    if (gap := margin(values)) is not None:
        parts.append(f"margin {gap:.3f}")
    return "; ".join(parts)


def _listed(title: str, labels: Sequence[str], values: Sequence[float]) -> str:
    return f"{title} " + ", ".join(f"{label} {value:.3f}" for label, value in zip(labels, values, strict=True))
