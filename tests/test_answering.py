"""Values that describe an answer refuse what cannot be."""

import pytest

from wattrack.answering import Load, Timing, Usage
from wattrack.facts import Device, EngineFacts
from wattrack.results.footprint import without_machine
from wattrack.schema import Energy, Readings, Response, Window


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"input_tokens": -1}, "input_tokens must be 0 or more"),
        ({"cost_usd": float("nan")}, "cost_usd must be 0 or more"),
        ({"input_tokens": 3, "cached_tokens": 4}, "cached_tokens is 4, more than the 3 input_tokens"),
        ({"output_tokens": 3, "reasoning_tokens": 4}, "reasoning_tokens is 4, more than the 3 output_tokens"),
    ],
)
def test_usage_adds_up(values: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Usage(**values)  # type: ignore[arg-type]
    assert Usage().output_tokens is None, "not known is not zero"


def test_time_goes_forward() -> None:
    with pytest.raises(ValueError, match="must not go back"):
        Timing(stamps_s=(0.2, 0.1))
    with pytest.raises(ValueError, match="before it was to be sent"):
        Timing(intended_s=0.1)
    with pytest.raises(ValueError, match="done_s must be 0 or more"):
        Timing(done_s=-1.0)


def test_a_load_has_what_its_kind_needs_and_nothing_else() -> None:
    for wrong in (
        {"kind": "closed"}, {"kind": "closed", "workers": 0}, {"kind": "all", "workers": 2},
        {"kind": "open", "rate_per_s": 2.0}, {"kind": "open", "rate_per_s": 0.0, "arrivals": "poisson"},
        {"kind": "one", "arrivals": "gamma", "rate_per_s": 1.0},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="load has"):
            Load(**wrong)  # type: ignore[arg-type]


def test_an_error_has_a_kind() -> None:
    with pytest.raises(ValueError, match="an error and its kind come together"):
        Response(sample_id="a", repeat=0, text="", finish_reason="error", error="x")


def test_facts_name_devices_for_people_and_for_programs() -> None:
    facts = EngineFacts(devices=(Device(kind="cuda", name="NVIDIA H200"),), mode="shared", rows=8, shared_tokens=0)
    assert facts.on == "cuda"
    assert facts.params() == {
        "model/revision": None, "effective/fallbacks": "none", "effective/device": "cuda: NVIDIA H200",
        "effective/mode": "shared", "effective/batch_size": 8, "tokens/shared": 0,
    }  # fmt: skip
    assert EngineFacts(mode="served", where="elsewhere").on is None


def test_a_model_elsewhere_is_not_billed_for_this_machine() -> None:
    used = {"gpu": Energy(joules=5.0, source="measured"), "cpu": Energy(joules=2.0, source="measured")}
    window = Window(name="generate", start_s=0, end_s=1, start_unix_ms=0, energy=used, peaks={"memory/rss_peak_gib": 1})
    found = without_machine(Readings(windows=(window,), samples=(), carbon=None, unavailable={}, job=window))
    assert [e.joules for w in (*found.windows, found.job) if w is not None for e in w.energy.values()] == [None] * 4
    assert found.windows[0].peaks == {}
    assert "elsewhere" in found.unavailable["energy and memory"]
