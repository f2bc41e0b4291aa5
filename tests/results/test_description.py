"""What a run says about itself."""

from dataclasses import replace

import pytest

from wattrack.results.description import describe, source_tags
from wattrack.schema import CarbonReading, DatasetFacts, Energy, EnergySource, Readings, Window

FACTS = DatasetFacts(
    name="d", protocol="d/chat@1", source="embedded:x", config=None, split="test", revision=None, digest="0", rows=7
)
CARBON = CarbonReading(
    energy_wh=0.5, cpu_wh=0.3, ram_wh=0.2, gpu_wh=None, duration_s=10, cpu_source="modelled",
    gpu_source="unavailable", detail="CPU load model, TDP 8 W",
)  # fmt: skip


def readings(**energy: Energy) -> Readings:
    window = Window(name="generate", start_s=0, end_s=1, start_unix_ms=0, energy=energy, peaks={})
    return Readings(windows=(window,), samples=(), carbon=CARBON, unavailable={"nvml": "no driver"})


def test_every_part_has_a_source_tag() -> None:
    tags = source_tags(
        readings(gpu=Energy(joules=None, source="unavailable"), cpu=Energy(joules=1.0, source="measured"))
    )
    assert tags["energy.source.gpu"] == "unavailable"
    assert tags["energy.source.cpu"] == "measured"
    assert tags["energy.source.codecarbon"] == "modelled"
    assert tags["energy.sources"] == "gpu unavailable, cpu measured, codecarbon modelled"
    assert tags["energy.flags"] == "none"


@pytest.mark.parametrize(
    ("cpu", "gpu", "label"),
    [
        ("modelled", "unavailable", "modelled"),
        ("measured", "unavailable", "partly modelled"),
        ("modelled", "sampled", "partly modelled"),
        ("measured", "measured", "partly modelled"),
    ],
)
def test_codecarbons_total_is_never_called_measured(cpu: EnergySource, gpu: EnergySource, label: str) -> None:
    carbon = replace(CARBON, cpu_source=cpu, gpu_source=gpu, gpu_wh=None if gpu == "unavailable" else 0.1)
    tags = source_tags(replace(readings(), carbon=carbon))
    assert tags["energy.source.codecarbon"] == label, "its memory is a model"
    assert tags["energy.sources"] == f"codecarbon {label}"


def test_flags_name_their_part() -> None:
    gpu = Energy(joules=9.0, source="measured", flags=("short_window", "contended"))
    tags = source_tags(readings(gpu=gpu, cpu=Energy(joules=1.0, source="measured", flags=("short_window",))))
    assert tags["energy.flags"] == "gpu short_window, gpu contended, cpu short_window"


def test_it_says_what_is_missing_and_why() -> None:
    metrics = {"quality/score": 0.5, "quality/score_ci_low": 0.4, "quality/score_ci_high": 0.6, "quality/n": 7.0}
    engine = {"effective/fallbacks": "kv_cache static -> dynamic: no CUDA"}
    text = describe("m · d", metrics, readings(gpu=Energy(joules=None, source="unavailable")), FACTS, engine)
    assert "7 distinct questions are too few" in text
    assert "too few" not in describe("m · d", metrics, readings(), replace(FACTS, rows=20), engine)
    only_some = {**metrics, "quality/score_n": 19.0}  # of the others no score is asked
    assert "19 distinct questions are too few" in describe("m", only_some, readings(), replace(FACTS, rows=40), engine)
    for part in ("50.0% [40.0%, 60.0%]", "nvml: no driver", "no carbon intensity is configured", "no CUDA", "TDP 8 W"):
        assert part in text


def test_it_fits_into_mlflows_tag() -> None:
    long = Energy(joules=None, source="unavailable", detail="x" * 20_000)
    assert len(describe("m", {}, readings(gpu=long), FACTS, {})) <= 8000
