"""Records and readings to metrics: values against hand arithmetic, absence where nothing was measured."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import flat_response
from wattrack.intervals import wilson
from wattrack.metrics.rows import METRICS, unknown_metrics
from wattrack.results.footprint import Prices, without_gpu
from wattrack.results.latency import latency
from wattrack.results.summary import grammar, loads, quality, running, summarize
from wattrack.schema import CarbonReading, Energy, Generation, Readings, Record, Request, SystemSample, Window


def record(index: int, **changes: object) -> Record:
    base = Record(
        id=f"q{index}", repeat=0, question="?", output="#### 1", target="1", answer="1", score=1.0,
        metrics={"exact_match_strict": 1.0, "exact_match_flexible": 1.0}, explanation="", group=None,
        finish_reason="stop", error=None, input_tokens=10, output_tokens=5, latency_s=2.0, ttft_s=0.5,
        batch_size=2, prompt_text="", started_unix_ms=1000,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]


def window(name: str, seconds: float, **energy: Energy) -> Window:
    return Window(
        name=name,
        start_s=0.0,
        end_s=seconds,
        start_unix_ms=0,
        energy=energy,
        peaks={"memory/rss_peak_gib": 2.0},
    )


def readings(*windows: Window, carbon: CarbonReading | None = None) -> Readings:
    return Readings(windows=windows, samples=(), carbon=carbon, unavailable={})


NO_SENSOR = Energy(joules=None, source="unavailable", detail="no GPU")
CARBON = CarbonReading(
    energy_wh=0.5, cpu_wh=0.3, ram_wh=0.2, gpu_wh=None, duration_s=10, cpu_source="modelled",
    gpu_source="unavailable", detail="CPU load model",
)  # fmt: skip

RIGHT, WRONG = (
    record(0),
    record(1, score=0.0, metrics={"exact_match_strict": 0.0, "exact_match_flexible": 1.0}),
)
FAILED = record(
    2, score=0.0, answer=None, output="", error="too long", finish_reason="error", latency_s=None, ttft_s=None,
    input_tokens=0, output_tokens=0, metrics={"exact_match_strict": 0.0, "exact_match_flexible": 0.0},
)  # fmt: skip
CUT = record(
    3, score=0.0, answer=None, output=" ", finish_reason="length",
    metrics={"exact_match_strict": 0.0, "exact_match_flexible": 0.0},
)  # fmt: skip


def test_every_key_is_a_metric_also_when_everything_is_measured() -> None:
    gpu = Energy(joules=7200.0, source="measured")
    full = summarize(
        [RIGHT, WRONG, FAILED, CUT],
        [flat_response(sample_id="q0", repeat=0, text="1", finish_reason="stop", input_tokens=1, output_tokens=3,
                  token_times_s=(0.1, 0.2, 0.3))],
        readings(window("load", 1.0), window("generate", 10.0, gpu=gpu, cpu=gpu), carbon=CARBON),
        {"tokens/computed": 50.0, "time/total_s": 36.0},
        Prices(hourly_usd=2.0),
    )  # fmt: skip
    assert not unknown_metrics(set(full))
    assert full["energy/gpu_wh"] == 2.0
    assert full["energy/measured_wh"] == 4.0  # gpu + cpu; codecarbon's modelled half watt-hour is not in it
    assert full["energy/modelled_wh"] == 0.5
    assert full["energy/j_per_correct"] == 14400.0
    assert full["energy/j_per_output_token"] == 14400.0 / 15
    assert full["throughput/output_tokens_per_s"] == 1.5
    assert full["cost/usd"] == pytest.approx(0.02)
    assert full["cost/usd_per_1k_correct"] == pytest.approx(20.0)


def test_failures_count_as_wrong_and_are_also_shown() -> None:
    found = quality([RIGHT, WRONG, FAILED, CUT])
    assert found["quality/score"] == 0.25
    assert found["quality/n"] == 4
    assert found["quality/error_rate"] == 0.25
    assert found["quality/truncated_rate"] == pytest.approx(1 / 3)
    assert found["quality/extraction_failure_rate"] == pytest.approx(1 / 3)
    assert found["quality/empty_rate"] == pytest.approx(1 / 3)
    assert found["quality/exact_match_flexible"] == 0.5


def test_choices_write_nothing_that_could_be_cut_or_empty() -> None:
    found = quality([record(0, logprobs=(-1.0, -2.0)), record(1, logprobs=(-1.0, -2.0))])
    assert found["quality/truncated_rate"] is found["quality/empty_rate"] is None
    assert found["quality/extraction_failure_rate"] == found["quality/error_rate"] == 0


def test_pass_at_k_needs_k_answers_to_every_question() -> None:
    answers = [
        record(q, repeat=r, score=float(r < right), metrics={"pass_at_1": float(r < right)})
        for q, right in ((0, 3), (1, 0))
        for r in range(10)
    ]
    found = quality(answers)
    assert found["quality/pass_at_1"] == pytest.approx(0.15)
    assert found["quality/pass_at_5"] == pytest.approx((1 - math.comb(7, 5) / math.comb(10, 5)) / 2)
    assert found["quality/pass_at_10"] == pytest.approx(0.5)
    assert "quality/pass_at_25" not in found
    assert "quality/pass_at_10" not in quality(answers[:-1])
    assert not [name for name in quality([RIGHT] * 5) if "pass_at" in name]


def test_only_constrained_answers_count_as_whole_values() -> None:
    greedy = Request(sample_id="", repeat=0, prompt="", generation=Generation(max_new_tokens=9), seed=0)
    schemas = [{"enum": [1]}] * 3 + [None]
    asked = [replace(greedy, sample_id=f"q{i}", constraint=schema) for i, schema in enumerate(schemas)]
    ends = ["stop", "length", None, "length"]
    records = [record(i, finish_reason=end) for i, end in enumerate(ends)]
    assert grammar(asked, records) == {"quality/grammar_complete_rate": pytest.approx(1 / 3)}
    assert grammar(asked[3:], records[3:]) == {}


def test_repeats_are_averaged_inside_a_question_first() -> None:
    twice = [record(0, repeat=0), record(0, repeat=1, score=0.0), record(1)]
    found = quality(twice)
    assert found["quality/score"] == 0.75
    assert (found["quality/score_n"], found["quality/n"]) == (2, 3)
    assert found["quality/exact_match_strict"] == 1.0
    other = quality([record(0), record(0, repeat=1), record(0, repeat=2), WRONG])
    assert other["quality/exact_match_strict"] == 0.5, "a question weighs the same however often it was asked"
    single = quality([record(0, score=0.5), record(1)])
    assert found["quality/score_ci_low"] == single["quality/score_ci_low"]


def test_nothing_measured_is_absent_not_zero() -> None:
    found = summarize([RIGHT], [], readings(window("generate", 2.0, gpu=NO_SENSOR)), {}, Prices())
    for name in (
        "energy/measured_wh",
        "energy/j_per_correct",
        "energy/codecarbon_wh",
        "carbon/co2e_g",
        "cost/usd",
    ):
        assert found[name] is None
    assert found["latency/ttft_s_p50"] is None
    assert found["latency/probe_n"] is None


def test_a_gpu_that_stood_by_is_not_billed() -> None:
    gpu = Energy(joules=3600.0, source="measured")
    carbon = replace(CARBON, gpu_wh=0.2, energy_wh=0.7, gpu_source="measured")
    values = {"system/gpu_0_power_usage_watts": 60.0, "system/gpu_0_sm_clock_mhz": 345.0}
    idle = tuple(SystemSample(time_s=t, unix_ms=0, values=values) for t in (0.5, 1.0))
    seen = replace(readings(window("generate", 2.0, gpu=gpu), carbon=carbon), samples=idle)
    assert "power/gpu_mean_w" in summarize([RIGHT], [], seen, {}, Prices())
    found = without_gpu(seen)
    summary = summarize([RIGHT], [], found, {}, Prices(carbon_g_per_kwh=400.0, pue=1.5))
    assert not {"power/gpu_mean_w", "gpu/sm_clock_mhz_mean"} & summary.keys()
    assert summary["energy/measured_wh"] is None
    assert summary["energy/codecarbon_wh"] == pytest.approx(0.5)
    assert summary["carbon/co2e_g"] == pytest.approx(0.0005 * 1.5 * 400.0)


def test_no_correct_answer_has_no_energy_per_correct_answer() -> None:
    gpu = Energy(joules=10.0, source="sampled")
    found = summarize([WRONG], [], readings(window("generate", 2.0, gpu=gpu)), {}, Prices())
    assert found["energy/j_per_correct"] is None
    assert found["energy/measured_wh"] is not None


def test_latency_definitions() -> None:
    times = [(0.5, 0.6, 0.8), (0.4,)]
    probe = [
        flat_response(sample_id=str(i), repeat=0, text="", finish_reason="stop", input_tokens=1, output_tokens=len(t),
                 token_times_s=t)
        for i, t in enumerate(times)
    ]  # fmt: skip
    found = latency(probe)
    assert found["latency/ttft_s_p50"] == pytest.approx(0.45)
    assert found["latency/itl_s_p50"] == pytest.approx(0.15)  # gaps 0.1 and 0.2, first token excluded
    assert found["latency/tpot_s_mean"] == pytest.approx(0.15)
    assert found["latency/e2e_s_p50"] == pytest.approx(0.6)
    assert found["latency/ttft_s_p99"] is None


def chosen(number: int, margin: float, group: str = "a", **metrics: float) -> Record:
    return record(
        number, score=metrics["acc"], metrics=metrics, group=group, output_tokens=0, ttft_s=None, output="the text",
        logprobs=(-1.0, -1.0 - margin), margin=margin, merged_boundaries=number % 2,
    )  # fmt: skip


def test_choices_have_no_numbers_about_text_that_nobody_wrote() -> None:
    response = flat_response(sample_id="0", repeat=0, text="B", finish_reason="stop", input_tokens=9, output_tokens=0,
                        latency_s=0.25, logprobs=(-1.0, -2.0))  # fmt: skip
    gpu = Energy(joules=100.0, source="measured")
    found = summarize([chosen(0, 1.0, acc=1.0)], [response], readings(window("generate", 2.0, gpu=gpu)), {}, Prices())
    assert not unknown_metrics(set(found))
    absent = ["tokens/output", "tokens/output_mean", "answers/chars_mean", "throughput/output_tokens_per_s",
              "latency/ttft_s_p50", "latency/itl_s_p50", "latency/tpot_s_mean", "latency/request_tokens_per_s",
              "latency/prefill_tokens_per_s", "latency/decode_tokens_per_s", "energy/j_per_output_token",
              "throughput/batch_efficiency", "throughput/output_tokens_per_s_per_gib"]  # fmt: skip
    assert [name for name in absent if found[name] is not None] == []
    assert (found["latency/e2e_s_p50"], found["latency/probe_n"]) == (0.25, 1.0)
    assert (found["throughput/questions_per_s"], found["energy/j_per_correct"]) == (0.5, 100.0)


def test_micro_macro_and_category_means_of_choices() -> None:
    failed = chosen(3, 1.0, "b", acc=0.0, acc_stem=0.0)
    failed = replace(failed, error="too long", logprobs=None, margin=None, merged_boundaries=None)
    found = quality([
        chosen(0, 0.049, "a", acc=1.0, acc_other=1.0), chosen(1, 0.05, "a", acc=1.0, acc_other=1.0),
        chosen(2, 0.0, "a", acc=1.0, acc_other=1.0), failed,
    ])  # fmt: skip
    assert found["quality/score"] == found["quality/acc"] == 0.75
    assert found["quality/acc_macro"] == 0.5
    assert (found["quality/acc_other"], found["quality/acc_stem"]) == (1.0, 0.0)
    assert found["quality/near_tie_rate"] == pytest.approx(2 / 3)
    assert found["quality/boundary_merge_rate"] == pytest.approx(1 / 3)
    open_questions = quality([RIGHT])
    for name in ("acc_macro", "near_tie_rate", "boundary_merge_rate"):
        assert open_questions[f"quality/{name}"] is None


def test_memory_that_earlier_jobs_left_is_not_added() -> None:
    before = SystemSample(time_s=-5.0, unix_ms=0, values={"system/process_rss_megabytes": 2**30 / 1e6})
    seen = replace(readings(window("generate", 2.0)), samples=(before,))
    found = summarize([RIGHT], [], seen, {}, Prices())
    assert found["memory/rss_peak_gib"] == 2.0
    assert found["memory/rss_added_gib"] == pytest.approx(1.0)
    assert summarize([RIGHT], [], readings(window("generate", 2.0)), {}, Prices())["memory/rss_added_gib"] is None


def test_loads_are_of_the_generate_window_and_summed_over_gpus() -> None:
    def at(time_s: float, *watts: float) -> SystemSample:
        values = {f"system/gpu_{i}_power_usage_watts": w for i, w in enumerate(watts)}
        return SystemSample(time_s=time_s, unix_ms=0, values=values)

    found = loads([at(-1, 900.0), at(1, 100.0, 50.0), at(2, 200.0, 50.0), at(99, 900.0)], window("generate", 10.0))
    assert found == {"power/gpu_mean_w": 200.0, "power/gpu_p95_w": None, "power/gpu_peak_w": 250.0}
    assert loads([at(1, 100.0)], window("generate", 10.0)) == {}


def test_clocks_are_of_the_slowest_gpu_and_temperatures_of_the_hottest() -> None:
    def at(time_s: float, clocks: tuple[float, float], celsius: tuple[float, float]) -> SystemSample:
        values = {f"system/gpu_{i}_sm_clock_mhz": mhz for i, mhz in enumerate(clocks)}
        values |= {f"system/gpu_{i}_temperature_celsius": c for i, c in enumerate(celsius)}
        return SystemSample(time_s=time_s, unix_ms=0, values=values)

    found = loads([at(1, (1980, 1500), (50, 70)), at(2, (1200, 1980), (71, 60))], window("generate", 10.0))
    assert found == {
        "gpu/sm_clock_mhz_mean": 1350.0,
        "gpu/sm_clock_mhz_min": 1200.0,
        "gpu/temperature_celsius_peak": 71.0,
    }


def test_the_gpus_other_method_and_its_error_stand_beside_the_counter() -> None:
    gpu = Energy(joules=3600.0, source="measured", bound_j=360.0, cross_check_j=4500.0)
    found = summarize([RIGHT], [], readings(window("generate", 2.0, gpu=gpu)), {}, Prices())
    assert found["energy/gpu_integrated_wh"] == 1.25
    assert found["energy/gpu_difference_percent"] == pytest.approx(25.0)
    assert found["energy/gpu_error_bound_wh"] == pytest.approx(0.1)
    assert found["energy/measured_wh"] == 1.0
    alone = replace(gpu, source="sampled", cross_check_j=None)
    found = summarize([RIGHT], [], readings(window("generate", 2.0, gpu=alone)), {}, Prices())
    assert found["energy/gpu_integrated_wh"] is None and found["energy/gpu_difference_percent"] is None


def test_a_kept_model_counts_where_it_is() -> None:
    before = SystemSample(time_s=-5.0, unix_ms=0, values={"system/process_rss_megabytes": 2**30 / 1e6})
    seen = window("generate", 2.0)
    seen = replace(seen, peaks={**seen.peaks, "memory/vram_added_gib": 0.5})
    kept = {"memory/kept_gib": 8.0}
    on_cpu = summarize([RIGHT], [], replace(readings(seen), samples=(before,)), kept, Prices())
    assert (on_cpu["memory/rss_added_gib"], on_cpu["memory/vram_added_gib"]) == (pytest.approx(9.0), 0.5)
    on_gpu = {**kept, "memory/vram_predicted_gib": 9.0}
    found = summarize([RIGHT], [], replace(readings(seen), samples=(before,)), on_gpu, Prices())
    assert (found["memory/rss_added_gib"], found["memory/vram_added_gib"]) == (pytest.approx(1.0), 8.5)


def test_running_score_has_one_point_per_batch_in_time_order() -> None:
    rows = [
        record(0, started_unix_ms=5000),
        record(1, started_unix_ms=1000, score=0.0),
        record(2, started_unix_ms=1000),
    ]
    assert running(rows, [(3, 9000, 7200.0)]) == (
        ("running/score", 2, 3000, 0.5),
        ("running/score", 3, 7000, pytest.approx(2 / 3)),
        ("running/energy_wh", 3, 9000, 2.0),
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_score_is_inside_its_interval(scores: list[float]) -> None:
    found = quality([record(i, score=s) for i, s in enumerate(scores)])
    low, score, high = (found[f"quality/score{p}"] for p in ("_ci_low", "", "_ci_high"))
    assert low is not None and score is not None and high is not None
    assert 0 <= low <= score <= high <= 1
    assert score == pytest.approx(math.fsum(scores) / len(scores))


def test_turns_of_one_conversation_are_one_case_in_the_interval() -> None:
    turns = [record(i, id=f"{i}-turn{turn}", score=score) for i in range(20) for turn, score in ((1, 1.0), (2, 0.5))]
    found = quality(turns)
    assert found["quality/score"] == 0.75
    assert (found["quality/score_ci_low"], found["quality/score_ci_high"]) == wilson(0.75, 20)


def test_metric_names_carry_their_units() -> None:
    suffixes = {"s": "_s", "Wh": "_wh", "GiB": "_gib", "USD": "usd", "g": "_g", "tokens/s": "tokens_per_s"}
    for name, metric in METRICS.items():
        if metric.unit in suffixes:
            assert suffixes[metric.unit].strip("_") in name, name


def test_reasoning_is_counted_and_answers_cut_inside_it_are_reported() -> None:
    cut, opened = "<think>hm", "no mark of its own"
    found = quality(
        [
            record(0, output="<think>hm</think>4"),
            record(1, output=cut, finish_reason="length"),
            record(2, output=opened, finish_reason="length", prompt_text="user ?\n<think>\n"),
            record(3, output="<think>a</think>1 2 3", finish_reason="length"),
            FAILED,
        ]
    )
    assert found["quality/truncated_thinking_rate"] == 0.5
    assert found["answers/thinking_chars_mean"] == (17 + len(cut) + len(opened) + 16) / 4
    assert quality([RIGHT])["answers/thinking_chars_mean"] == 0.0
    choice = record(0, logprobs=(-1.0, -2.0))
    assert quality([choice])["quality/truncated_thinking_rate"] is None


def test_reasoning_tokens_are_a_mean_over_all_answers_or_unknown() -> None:
    known = [record(0, thinking_tokens=3), record(1, thinking_tokens=0, output_tokens=1), FAILED]
    found = quality(known)
    assert found["answers/thinking_tokens_mean"] == 1.5
    assert found["answers/thinking_token_share"] == 0.5
    partly = quality([*known, record(3)])
    assert partly["answers/thinking_tokens_mean"] is None and partly["answers/thinking_token_share"] is None
    silent = quality([record(0, thinking_tokens=0, output_tokens=0, output="")])
    assert (silent["answers/thinking_tokens_mean"], silent["answers/thinking_token_share"]) == (0.0, None)
    assert quality([FAILED])["answers/thinking_tokens_mean"] is None
    assert quality([record(0, logprobs=(-1.0, -2.0))])["answers/thinking_tokens_mean"] is None
