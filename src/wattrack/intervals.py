"""Intervals and percentiles, each defined once. Pure."""

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from wattrack.metrics.families.latency import PERCENTILES

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal distribution."""


_TAIL = 0.025
"""Probability in each tail of a two-sided 95 % interval."""


def wilson(mean: float, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion (Wilson 1927); never empty, never outside 0..1.

    For scores between 0 and 1 that are not 0/1 it is conservative, because no such variable has a larger variance
    than the 0/1 one with the same mean. ValueError when n < 1.
    """
    if n < 1:
        raise ValueError(f"an interval needs at least one question, got n={n}")
    z2 = Z_95**2
    centre = (mean + z2 / (2 * n)) / (1 + z2 / n)
    half = Z_95 / (1 + z2 / n) * math.sqrt(mean * (1 - mean) / n + z2 / (4 * n * n))
    # At 0 and 1 the bound is exact in theory and off by rounding in floating point.
    return min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half))


def percentiles(
    values: Sequence[float], which: Sequence[tuple[str, float, int]] = PERCENTILES
) -> dict[str, float | None]:
    """p50 p90 p95 p99 by linear interpolation; None where there are too few values to mean anything.

    `which` asks for others: (name, percent, fewest values).
    """
    return {suffix: float(np.percentile(values, q)) if len(values) >= fewest else None for suffix, q, fewest in which}


def percentile_interval(values: Sequence[float], percent: float) -> tuple[float, float] | None:
    """95 % confidence interval of the population's percentile: two of the observed values, whatever the distribution.

    The number of values below the true percentile is binomial with n trials and probability percent / 100, so the ranks
    follow from exact binomial tails, here of at most 2.5 % each (Hahn and Meeker, Statistical Intervals, 1991,
    distribution-free intervals for a percentile). Coverage is at least 95 %; ties only widen it.

    Assumes independent values of one distribution: one value per request sent alone qualifies, as long as the machine
    does not drift. Gaps between the tokens of one request, and rows of one batch, do not.

    Returns:
        (low, high) in the unit of `values`; None when n is too small for such ranks to exist: p50 needs 6 values,
        p90 36, p95 72 and p99 368.

    Raises:
        ValueError: `percent` is not inside 0..100.
    """
    if not 0 < percent < 100:
        raise ValueError(f"a percentile lies between 0 and 100, got {percent}")
    ranks = _percentile_ranks(len(values), percent / 100)
    if ranks is None:
        return None
    ordered = sorted(values)
    return float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1])


@lru_cache(maxsize=256)
def _percentile_ranks(n: int, q: float) -> tuple[int, int] | None:
    """1-based ranks (r, s) with B ~ Binomial(n, q): the largest r with P(B < r) <= 0.025, the smallest s with
    P(B >= s) <= 0.025; None where either would lie outside the n values."""
    low = _tail_rank(n, q)
    high = _tail_rank(n, 1 - q)
    # P(B >= s) is the lower tail of the values above: n - B ~ Binomial(n, 1 - q).
    return (low, n + 1 - high) if low and high else None


def _tail_rank(n: int, q: float) -> int:
    """The largest r with P(Binomial(n, q) < r) <= 0.025; 0 when not even P(B = 0) is that small."""
    below, r = 0.0, 0
    for k in range(n + 1):
        # In logarithms: 0.01^n underflows for the n of a whole benchmark.
        log_choose = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        below += math.exp(log_choose + k * math.log(q) + (n - k) * math.log1p(-q))
        if below > _TAIL:
            break
        r = k + 1
    return r


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Probability that one of k answers drawn from n without replacement is right, `correct` of them being right.

    The unbiased estimator of Chen et al. 2021 (arXiv:2107.03374) as a product. ValueError when n < k.
    """
    if n < k:
        raise ValueError(f"pass@{k} needs at least {k} answers to a question, got {n}")
    return 1.0 - math.prod(1.0 - k / i for i in range(n - correct + 1, n + 1)) if n - correct >= k else 1.0


def mean(values: Sequence[float]) -> float | None:
    """Arithmetic mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n - 1 in the denominator); None of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def ratio(top: float | None, bottom: float | None) -> float | None:
    """top / bottom; None when either is not known or bottom is 0."""
    return top / bottom if top is not None and bottom else None
