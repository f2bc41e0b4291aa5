"""Energy of a job, idle power, CO2e and money: against hand arithmetic; absent where anything is missing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattrack.metrics.rows import unknown_metrics
from wattrack.results.footprint import Prices, basis, codecarbon_difference_percent, cost, energy
from wattrack.schema import CarbonReading, Energy, Readings, SystemSample, Window

NONE = Energy(joules=None, source="unavailable", detail="no sensor")
CARBON = CarbonReading(
    energy_wh=4.0, cpu_wh=1.0, ram_wh=1.0, gpu_wh=2.0, duration_s=100.0, cpu_source="modelled",
    gpu_source="measured", detail="CPU load model",
)  # fmt: skip


def joules(value: float) -> Energy:
    return Energy(joules=value, source="measured")


def window(name: str, start_s: float, end_s: float, **energy_j: Energy) -> Window:
    return Window(name=name, start_s=start_s, end_s=end_s, start_unix_ms=0, energy=energy_j, peaks={})


def sampled(watts: list[float], celsius: list[float] | None = None) -> tuple[SystemSample, ...]:
    series = celsius or [40.0] * len(watts)
    return tuple(
        SystemSample(
            time_s=float(i),
            unix_ms=i,
            values={"system/gpu_0_power_usage_watts": w, "system/gpu_0_temperature_celsius": c},
        )
        for i, (w, c) in enumerate(zip(watts, series, strict=True))
    )


def idled(watts: list[float], celsius: list[float] | None = None, seconds: float = 10.0) -> dict[str, float | None]:
    readings = Readings(
        windows=(
            window("idle", 0.0, seconds, gpu=joules(50.0 * seconds), cpu=NONE),
            window("generate", 20.0, 60.0, gpu=joules(4000.0), cpu=NONE),
        ),
        samples=sampled(watts, celsius),
        carbon=None,
        unavailable={},
    )
    return energy(readings)


def test_idle_power_stands_beside_and_is_taken_off_in_a_figure_of_its_own() -> None:
    found = idled([50.0, 51.0] * 5)
    assert not unknown_metrics(set(found))
    assert found["power/gpu_idle_w"] == pytest.approx(50.0)
    assert found["power/cpu_idle_w"] is None
    assert found["energy/measured_wh"] == pytest.approx(4000.0 / 3600.0)
    assert found["energy/above_idle_wh"] == pytest.approx((4000.0 - 50.0 * 40.0) / 3600.0)


@pytest.mark.parametrize(
    ("watts", "celsius", "seconds"),
    [
        ([50.0, 90.0] * 5, None, 10.0),  # something else ran
        ([50.0] * 10, [40.0 + i for i in range(10)], 10.0),  # still cooling down
        ([50.0] * 4, None, 4.0),  # too short
        ([], None, 10.0),  # no readings
    ],
)
def test_a_machine_that_was_not_idle_gives_no_difference(
    watts: list[float], celsius: list[float] | None, seconds: float
) -> None:
    found = idled(watts, celsius, seconds)
    assert found.get("energy/above_idle_wh") is None
    assert found["power/gpu_idle_w"] == pytest.approx(50.0)


def test_codecarbon_is_compared_in_mean_power_and_only_where_both_measured() -> None:
    job = window("job", 0.0, 90.0, gpu=joules(2.0 * 3600 * 0.9 / 1.1), cpu=joules(3600.0))
    readings = Readings(windows=(), samples=(), carbon=CARBON, unavailable={}, job=job)
    assert codecarbon_difference_percent(readings) == pytest.approx(10.0)
    modelled = replace(CARBON, gpu_source="unavailable", gpu_wh=None)
    assert codecarbon_difference_percent(replace(readings, carbon=modelled)) is None
    assert codecarbon_difference_percent(replace(readings, job=replace(job, energy={"gpu": NONE}))) is None
    assert codecarbon_difference_percent(replace(readings, carbon=None)) is None


def test_carbon_and_money() -> None:
    prices = Prices(hourly_usd=3.0, usd_per_kwh=0.25, carbon_g_per_kwh=400.0, pue=1.5)
    readings = Readings(windows=(), samples=(), carbon=CARBON, unavailable={})
    metrics = {
        "time/total_s": 1200.0, "energy/job_wh": 2.0, "tokens/output": 500.0,
    }  # fmt: skip
    found = cost(metrics, readings, prices, 5.0)
    assert not unknown_metrics(set(found))
    assert found["carbon/co2e_g"] == pytest.approx(0.004 * 1.5 * 400.0)
    assert found["carbon/measured_co2e_g"] == pytest.approx(0.002 * 1.5 * 400.0)
    assert found["cost/rental_usd"] == pytest.approx(1.0)
    assert found["cost/energy_usd"] == pytest.approx(0.004 * 1.5 * 0.25)
    assert found["cost/usd"] == pytest.approx(1.0 + 0.0015)
    assert found["cost/usd_per_1k_correct"] == pytest.approx(1.0015 / 5 * 1000)
    assert found["cost/usd_per_1m_output_tokens"] == pytest.approx(1.0015 / 500 * 1e6)
    assert basis(readings) == "codecarbon: cpu modelled, ram modelled, gpu measured"
    without = cost(metrics, replace(readings, carbon=None), prices, 5.0)
    assert without["cost/energy_usd"] == pytest.approx(0.002 * 1.5 * 0.25)
    assert without["carbon/co2e_g"] is None
    free = cost(metrics, readings, replace(prices, hourly_usd=0.0, usd_per_kwh=None), 5.0)
    assert (free["cost/usd"], free["cost/energy_usd"]) == (0.0, None), "a rent of zero is known"


@given(st.lists(st.none() | st.floats(0, 1e6), min_size=4, max_size=4), st.booleans())
def test_nothing_is_made_of_what_is_unknown(known: list[float | None], carbon: bool) -> None:
    hourly, tariff, intensity, total = known
    prices = Prices(hourly_usd=hourly, usd_per_kwh=tariff, carbon_g_per_kwh=intensity)
    readings = Readings(windows=(), samples=(), carbon=CARBON if carbon else None, unavailable={})
    found = cost({"time/total_s": total}, readings, prices, 0.0)
    assert (found["cost/rental_usd"] is None) == (hourly is None or total is None)
    assert (found["cost/energy_usd"] is None) == (tariff is None or not carbon)
    assert (found["carbon/co2e_g"] is None) == (intensity is None or not carbon)
    assert (found["cost/usd"] is None) == (found["cost/rental_usd"] is None and found["cost/energy_usd"] is None)
    assert found["cost/usd_per_1k_correct"] is found["cost/usd_per_1m_output_tokens"] is None
