"""Intervals and percentiles against closed forms and scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from wattrack.intervals import mean, percentiles, ratio, wilson


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


def test_nothing_is_none() -> None:
    assert mean([]) is None
    assert ratio(None, 1.0) is None
    assert ratio(1.0, None) is None
    assert ratio(1.0, 0.0) is None
    assert ratio(0.0, 2.0) == 0.0
