"""Intervals and percentiles against closed forms and scipy."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, lognorm

from wattrack.intervals import deviation, mean, percentile_interval, percentiles, ratio, wilson


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_equals_scipy(case: tuple[int, int]) -> None:
    correct, n = case
    expected = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert wilson(correct / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(st.floats(0, 1), st.integers(1, 5000))
def test_wilson_holds_the_mean(value: float, n: int) -> None:
    low, high = wilson(value, n)
    assert 0 <= low <= value <= high <= 1


def test_wilson_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        wilson(0.5, 0)


@pytest.mark.parametrize(
    ("n", "present"),
    [
        (0, ""),
        (1, "p50"),
        (9, "p50"),
        (10, "p50 p90"),
        (20, "p50 p90 p95"),
        (99, "p50 p90 p95"),
        (100, "p50 p90 p95 p99"),
    ],
)
def test_percentiles_are_withheld_when_too_few(n: int, present: str) -> None:
    found = percentiles([float(i) for i in range(n)])
    assert [k for k, v in found.items() if v is not None] == present.split()
    for name, value in found.items():
        if value is not None:
            assert value == pytest.approx(float(np.percentile(range(n), float(name[1:]))))


@given(st.integers(0, 3000), st.sampled_from([0.05, 1.0, 25.0, 50.0, 90.0, 95.0, 99.0]))
def test_percentile_interval_has_the_ranks_of_scipys_binomial(n: int, percent: float) -> None:
    found = percentile_interval([float(rank) for rank in range(1, n + 1)], percent)
    below = binom(n, percent / 100)
    ranks = np.arange(1, n + 1)
    low, high = ranks[below.cdf(ranks - 1) <= 0.025], ranks[below.sf(ranks - 1) <= 0.025]
    assert found == ((low.max(), high.min()) if len(low) and len(high) else None)


@pytest.mark.parametrize(("percent", "fewest"), [(50.0, 6), (90.0, 36), (95.0, 72), (99.0, 368)])
def test_an_interval_needs_enough_values(percent: float, fewest: int) -> None:
    assert percentile_interval(range(fewest - 1), percent) is None
    assert percentile_interval(range(fewest), percent) is not None


def test_median_interval_by_counting_subsets() -> None:
    # Of 2^16 ways to lie below or above the median, 1.06 % have up to 3 values below it and 3.84 % up to 4.
    assert [sum(comb(16, k) for k in range(most + 1)) for most in (3, 4)] == [697, 2517]
    assert percentile_interval(list(range(16, 0, -1)), 50) == (4.0, 13.0)


@given(st.lists(st.floats(-1e6, 1e6), max_size=400), st.sampled_from([50.0, 90.0, 95.0, 99.0]))
def test_the_interval_holds_its_percentile(values: list[float], percent: float) -> None:
    if (found := percentile_interval(values, percent)) is not None:
        assert found[0] <= np.percentile(values, percent) + 1e-6
        assert np.percentile(values, percent) <= found[1] + 1e-9


@pytest.mark.parametrize("percent", [0.0, 100.0, -1.0])
def test_a_percentile_outside_its_range_is_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 100"):
        percentile_interval([1.0], percent)


@pytest.mark.slow
@pytest.mark.parametrize(("percent", "n"), [(50.0, 20), (50.0, 101), (90.0, 60), (95.0, 100), (99.0, 400)])
def test_percentile_intervals_cover_as_promised(percent: float, n: int) -> None:
    # Log-normal, as latencies roughly are; 4,000 draws put three standard errors of 95 % at 1.03 points.
    draws = np.random.default_rng(n).lognormal(size=(4000, n))
    truth = float(lognorm(1.0).ppf(percent / 100))
    held = [low <= truth <= high for low, high in (percentile_interval(row, percent) or (0, 0) for row in draws)]
    assert 0.94 <= np.mean(held) <= 1.0


def test_nothing_is_none() -> None:
    assert mean([]) is None
    assert deviation([1.0]) is None
    assert deviation([1.0, 3.0]) == pytest.approx(2**0.5)
    assert ratio(None, 1.0) is None
    assert ratio(1.0, None) is None
    assert ratio(1.0, 0.0) is None
    assert ratio(0.0, 2.0) == 0.0
