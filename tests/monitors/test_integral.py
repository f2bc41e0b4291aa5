"""Trapezoid integration of power: properties that hold for any readings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattrack.monitors.integral import MAX_GAP_S, PowerIntegral

STEPS = st.lists(st.floats(0.001, MAX_GAP_S * 0.99), min_size=1, max_size=50)
WATTS = st.floats(0.0, 1500.0)


def integrate(points: list[tuple[float, float]]) -> tuple[float, float]:
    integral = PowerIntegral()
    for time_s, watts in points:
        integral.add(time_s, watts)
    return integral.mark().joules, integral.mark().covered_s


def series(steps: list[float], watts: list[float]) -> list[tuple[float, float]]:
    times = [0.0]
    for step in steps:
        times.append(times[-1] + step)
    return [(t, watts[i % len(watts)]) for i, t in enumerate(times)]


@given(STEPS, WATTS)
def test_constant_power_is_power_times_time(steps: list[float], watts: float) -> None:
    joules, covered_s = integrate(series(steps, [watts]))
    assert joules == pytest.approx(watts * sum(steps), abs=1e-6)
    assert covered_s == pytest.approx(sum(steps))


@given(STEPS, st.lists(WATTS, min_size=1, max_size=50))
def test_energy_lies_between_least_and_most_power(steps: list[float], watts: list[float]) -> None:
    points = series(steps, watts)
    joules, covered_s = integrate(points)
    values = [w for _, w in points]
    assert min(values) * covered_s - 1e-6 <= joules <= max(values) * covered_s + 1e-6


@given(STEPS, st.lists(WATTS, min_size=1, max_size=50), st.integers(0, 49))
def test_two_windows_add_up_to_the_whole(steps: list[float], watts: list[float], cut: int) -> None:
    points = series(steps, watts)
    cut = min(cut, len(points) - 1)
    integral = PowerIntegral()
    marks = []
    for time_s, power_w in points:
        integral.add(time_s, power_w)
        marks.append(integral.mark().joules)
    first, second = marks[cut] - marks[0], marks[-1] - marks[cut]
    assert first >= 0.0 and second >= 0.0
    assert first + second == pytest.approx(marks[-1], abs=1e-6)


@given(WATTS, WATTS, st.floats(0.01, MAX_GAP_S), st.floats(0.0, 1.0))
def test_a_reading_on_the_line_changes_nothing(first: float, last: float, length: float, share: float) -> None:
    middle = (share * length, first + share * (last - first))
    with_it, _ = integrate([(0.0, first), middle, (length, last)])
    without, _ = integrate([(0.0, first), (length, last)])
    assert with_it == pytest.approx(without, abs=1e-6)


@given(st.floats(MAX_GAP_S * 1.001, 1e4), WATTS)
def test_a_long_gap_is_uncovered_not_guessed(gap_s: float, watts: float) -> None:
    assert integrate([(0.0, watts), (gap_s, watts)]) == (0.0, 0.0)
