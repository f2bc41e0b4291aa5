"""Each check on numbers that agree, on numbers that cannot be, and where something it needs is not known."""

from dataclasses import replace
from typing import Any

import pytest

from support import flat_response
from wattrack.facts import Device, EngineFacts
from wattrack.job import grading
from wattrack.results.plausibility import CHECKS, Check, Evidence, examine, tags
from wattrack.schema import Energy, Readings, Record, Response, Sample, Window
from wattrack.scorers import choice, number

GIB = 2**30


def window(name: str, start_s: float, end_s: float, **joules: float) -> Window:
    energy = {part: Energy(joules=value, source="measured") for part, value in joules.items()}
    return Window(name=name, start_s=start_s, end_s=end_s, start_unix_ms=0, energy=energy, peaks={})


def answer(seconds: float, index: int = 0, **changes: Any) -> Response:
    base = flat_response(
        sample_id=str(index), repeat=0, text="1", finish_reason="stop", input_tokens=5, output_tokens=2,
        token_times_s=(seconds / 2, seconds), latency_s=seconds, batch_size=4, prompt_text=f"p{index}",
    )  # fmt: skip
    return replace(base, **changes)


def records(*responses: Response) -> tuple[Record, ...]:
    sample = Sample(id="0", question="?", target="1")
    return tuple(grading.record(sample, r, lambda s, r: number.score(s, r, marker="=")) for r in responses)


GENERATE = window("generate", 2.0, 12.0, gpu=6000.0, cpu=900.0)
PROBE = window("probe", 12.0, 16.0, gpu=1000.0)
# An 8 GB model on one GPU of 1,000 GB/s and 700 W: 125 steps a second.
GOOD = Evidence(
    metrics={
        "memory/weights_gib": 8.0,
        "memory/vram_peak_gib": 10.0,
        "memory/vram_predicted_gib": 11.0,
        "latency/decode_tokens_per_s": 100.0,
        "throughput/output_tokens_per_s": 400.0,
        "tokens/computed": 10_000.0,
        "energy/codecarbon_difference_percent": 2.0,
    },
    engine=EngineFacts(
        devices=(Device(kind="cuda", name="NVIDIA H200"),), mode="shared",
        shown={"model/decode_read_gib": 8e9 / GIB, "model/layer_params": 4e9},
    ),
    hardware={
        "gpu.power_limit_w": "700", "gpu.count": "1", "gpu.indices": "3", "gpu.memory_bandwidth_gb_s": "1000",
        "rapl.power_limit_w": "200",
    },
    records=records(*(answer(8.0, i) for i in range(4))),
    probe=tuple(answer(0.9, i) for i in range(4)),
    readings=Readings(
        windows=(GENERATE, PROBE), samples=(), carbon=None, unavailable={},
        job=window("job", 0.0, 16.5, gpu=7100.0, cpu=950.0),
    ),
    references=(0, 100),
    peak_tflops=100.0,
)  # fmt: skip


def found(evidence: Evidence, name: str) -> Check:
    return next(c for c in examine(evidence) if c.name == name)


def test_numbers_that_agree_pass_every_check() -> None:
    checks = examine(GOOD)
    assert [c.name for c in checks] == list(CHECKS)
    assert {c.status for c in checks} == {"ok"}, [c for c in checks if c.status != "ok"]
    assert tags(checks)["plausibility"] == f"ok ({len(CHECKS)} of {len(CHECKS)} checks possible)"


def metrics(**changes: float | None) -> Evidence:
    return replace(GOOD, metrics={**GOOD.metrics, **{k.replace("__", "/"): v for k, v in changes.items()}})


def phases(*windows: Window) -> Evidence:
    return replace(GOOD, readings=replace(GOOD.readings, windows=windows))


SMALL_JOB = replace(GOOD.readings, job=window("job", 0.0, 16.5, gpu=3000.0))

IMPOSSIBLE = [
    ("weights_in_memory", metrics(memory__vram_peak_gib=6.0), "peak 6 GiB (vram), weights 8 GiB"),
    ("decode_under_roofline", metrics(latency__decode_tokens_per_s=140.0), "140 tokens/s at batch 1"),
    ("throughput_under_roofline", metrics(throughput__output_tokens_per_s=600.0), "memory allows 500"),
    ("compute_under_roofline", replace(GOOD, peak_tflops=5.0), "8 Tflop/s of rated 5"),
    ("latencies_fill_probe", replace(GOOD, probe=(answer(0.5), answer(0.5, 1))), "25.0%"),
    ("latencies_fill_probe", replace(GOOD, probe=(answer(4.0), answer(4.0, 1))), "200.0%"),
    ("latencies_fit_batches", replace(GOOD, records=records(*(answer(11.0, i) for i in range(4)))), "110.0%"),
    ("power_within_limit", phases(GENERATE, window("probe", 12.0, 16.0, gpu=4000.0)), "gpu 1000 W in probe"),
    ("power_within_limit", phases(window("generate", 0.0, 2.0, cpu=500.0)), "cpu 250 W in generate"),
    ("codecarbon_agrees", metrics(energy__codecarbon_difference_percent=-40.0), "-40.0 %"),
    ("memory_as_predicted", metrics(memory__vram_predicted_gib=7.0), "predicted 7 GiB (vram), peak 10 GiB"),
    ("memory_as_predicted", metrics(memory__vram_predicted_gib=40.0), "predicted 40 GiB"),
    ("phases_fit_job", phases(GENERATE, window("probe", 12.0, 24.0)), "phases last 22 s, the job 16.5 s"),
    ("phases_fit_job", replace(GOOD, readings=SMALL_JOB), "phases used 7000 J, the job 3000 J"),
    ("references_score", replace(GOOD, references=(3, 50)), "47 of 50"),
]


@pytest.mark.parametrize(("name", "evidence", "text"), IMPOSSIBLE)
def test_what_cannot_be_is_labelled(name: str, evidence: Evidence, text: str) -> None:
    check = found(evidence, name)
    assert check.status == "failed"
    assert text in check.text
    labels = tags(examine(evidence))
    assert labels["plausibility"].startswith("failed: ") and name in labels["plausibility"]
    assert labels[f"plausibility.{name}"] == f"failed: {check.text}"


def test_what_is_not_known_is_not_checked() -> None:
    nothing = Evidence(
        metrics={}, engine=EngineFacts(mode="replay"), hardware={}, records=(), probe=(),
        readings=Readings(windows=(), samples=(), carbon=None, unavailable={}),
    )  # fmt: skip
    checks = examine(nothing)
    assert {c.status for c in checks} == {"not checked"}
    assert all(c.text for c in checks)
    assert tags(checks)["plausibility"] == f"ok (0 of {len(CHECKS)} checks possible)"


def test_weights_that_a_cache_may_hold_have_no_roofline() -> None:
    tiny = replace(GOOD, engine=replace(GOOD.engine, shown={"model/decode_read_gib": 0.01}))
    assert found(tiny, "decode_under_roofline").status == "not checked"
    two = replace(GOOD, hardware={**GOOD.hardware, "gpu.indices": "0,1"})
    assert found(two, "decode_under_roofline").status == "not checked", "a sharded model adds bandwidths or does not"
    assert found(replace(two, bandwidth_gb_s=500.0), "decode_under_roofline").status == "failed"


def test_a_probe_of_milliseconds_is_mostly_reading_prompts() -> None:
    short = phases(GENERATE, window("probe", 12.0, 12.01))
    assert found(replace(short, probe=(answer(0.003),)), "latencies_fill_probe").status == "not checked"


def test_equal_requests_are_computed_once_and_allow_more() -> None:
    same = replace(GOOD, records=records(*(answer(8.0, i, prompt_text="p") for i in range(4))))
    fast = replace(same, metrics={**GOOD.metrics, "throughput/output_tokens_per_s": 1900.0})
    assert found(fast, "throughput_under_roofline").status == "ok"
    assert found(replace(fast, records=GOOD.records), "throughput_under_roofline").status == "failed"


def test_reference_answers_go_through_their_own_scorer() -> None:
    open_ended = [Sample(id=str(i), question="?", target=str(i)) for i in range(120)]
    chosen = [Sample(id="a", question="?", target="B", choices=("x", "y"), labels=("A", "B"))]
    broken = [Sample(id="b", question="?", target="many")]
    only_form = [Sample(id="f", question="?", target="The answer is 3 apples")]
    scorer = lambda s, r: number.score(s, r, marker="The answer is")  # noqa: E731
    assert grading.references(open_ended, scorer) == (0, 20)
    assert grading.references(broken, scorer) == grading.references(only_form, scorer) == (1, 1)
    assert grading.references(chosen, choice.score) == (0, 1)
    assert grading.references([Sample(id="c", question="?", target="")], scorer) == (0, 0)
    for_people = Sample(id="d", question="?", target="any number", target_is_answer=False)
    assert grading.references([*broken, for_people], scorer) == (1, 1)
