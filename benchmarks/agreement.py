"""How far two tools agree on the same requests: a part of vs_lm_eval.py."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NEAR_TIE = 0.05
"""Nats: below this margin, rounding decides which candidate is the most probable."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Shares are of all questions."""

    questions: int
    same: int
    """Equal predictions by summed log-probability, or equal texts."""
    same_normalised: int | None
    """Equal predictions by log-probability per character; choices only."""
    near_ties: int | None
    """Of the questions answered differently, those whose two best candidates are nearly tied for the peer."""
    largest_difference: float | None
    """Between the two log-probabilities of one candidate."""
    same_characters: float | None
    """Generated texts only: the share of the peer's characters before the first difference, over all texts."""

    def short(self) -> str:
        """For a table."""
        shares = [self.same] if self.same_normalised is None else [self.same, self.same_normalised]
        return " / ".join(f"{count / self.questions:.1%}" for count in shares)

    def long(self) -> str:
        """One line with everything else."""
        if self.largest_difference is None:
            return f"{self.questions - self.same} texts differ; {self.same_characters:.1%} of characters before that"
        return (
            f"largest log-probability difference {self.largest_difference:.2g}; {self.questions - self.same} "
            f"predictions differ, {self.near_ties} of them nearly tied (margin < {NEAR_TIE})"
        )


def compare(workload: Mapping[str, Any], ours: Mapping[str, Any], peer: Mapping[str, Any]) -> Agreement:
    """Compare the answers of both tools, by question."""
    ids = [item["id"] for item in workload["items"]]
    if workload["kind"] == "generate":
        return _texts([ours[i]["text"].strip() for i in ids], [peer[i]["text"].strip() for i in ids])
    lengths = [[len(text.strip()) for _, text in item["candidates"]] for item in workload["items"]]
    return _choices([ours[i]["logprobs"] for i in ids], [peer[i]["logprobs"] for i in ids], lengths)


def _texts(ours: Sequence[str], peer: Sequence[str]) -> Agreement:
    shared = sum(_common(a, b) for a, b in zip(ours, peer, strict=True))
    return Agreement(
        questions=len(ours),
        same=sum(a == b for a, b in zip(ours, peer, strict=True)),
        same_normalised=None,
        near_ties=None,
        largest_difference=None,
        same_characters=shared / max(1, sum(len(text) for text in peer)),
    )


def _choices(
    ours: Sequence[Sequence[float]], peer: Sequence[Sequence[float]], lengths: Sequence[Sequence[int]]
) -> Agreement:
    differing = [b for a, b in zip(ours, peer, strict=True) if _best(a) != _best(b)]
    normalised = [
        _best(_per_character(a, n)) == _best(_per_character(b, n)) for a, b, n in zip(ours, peer, lengths, strict=True)
    ]
    return Agreement(
        questions=len(ours),
        same=len(ours) - len(differing),
        same_normalised=sum(normalised),
        near_ties=sum(_margin(values) < NEAR_TIE for values in differing),
        largest_difference=max(abs(x - y) for a, b in zip(ours, peer, strict=True) for x, y in zip(a, b, strict=True)),
        same_characters=None,
    )


def _best(values: Sequence[float]) -> int:
    return max(range(len(values)), key=lambda i: values[i])


def _per_character(values: Sequence[float], lengths: Sequence[int]) -> list[float]:
    return [value / max(1, length) for value, length in zip(values, lengths, strict=True)]


def _margin(values: Sequence[float]) -> float:
    first, second = sorted(values, reverse=True)[:2]
    return first - second


def _common(a: str, b: str) -> int:
    limit = min(len(a), len(b))
    return next((i for i in range(limit) if a[i] != b[i]), limit)
