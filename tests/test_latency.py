"""Latencies by their definitions: hand arithmetic, what is withheld, and that failures are counted but never timed."""

from dataclasses import replace

import pytest

from support import flat_response
from test_summary import record
from wattrack.answering import Timing, Usage
from wattrack.metrics.rows import METRICS
from wattrack.results.latency import latency, latency_rows
from wattrack.schema import Response


def response(number: int, *times_s: float, **changes: object) -> Response:
    known: dict[str, object] = {"finish_reason": "stop", "input_tokens": 10, "output_tokens": len(times_s), **changes}
    return flat_response(sample_id=str(number), repeat=0, text="", token_times_s=times_s, **known)  # type: ignore[arg-type]


FAILED = response(9, error="too long", finish_reason="error")
PROBE = [response(0, 0.5, 0.6, 0.8), response(1, 0.2, 0.6), response(2, 0.4), FAILED]


def row(rows: list[dict[str, object]], quantity: str, window: str = "probe") -> dict[str, object]:
    (found,) = [r for r in rows if (r["quantity"], r["window"]) == (quantity, window)]
    return found


def test_speeds_are_means_over_requests_and_not_pooled() -> None:
    found = latency(PROBE)
    # tpot: (0.8 - 0.5) / 2 and (0.6 - 0.2) / 1; pooled over the three gaps it would be 0.7 / 3.
    assert found["latency/tpot_s_mean"] == pytest.approx((0.15 + 0.4) / 2)
    assert found["latency/decode_tokens_per_s"] == pytest.approx(2 / (0.15 + 0.4))
    assert found["latency/request_tokens_per_s"] == pytest.approx((3 / 0.8 + 2 / 0.6 + 1 / 0.4) / 3)
    assert found["latency/prefill_tokens_per_s"] == pytest.approx((10 / 0.5 + 10 / 0.2 + 10 / 0.4) / 3)
    assert (found["latency/probe_n"], found["latency/probe_failed_n"]) == (3.0, 1.0)
    assert found.keys() <= METRICS.keys()


def test_the_table_has_a_row_per_quantity_and_window() -> None:
    batch = [record(0, latency_s=2.0, batch_size=4), record(1, latency_s=4.0, batch_size=2), record(2, error="x")]
    copied = record(3, latency_s=None, ttft_s=None)  # of an identical request: it took no time of its own
    rows = latency_rows([*batch, copied], PROBE)
    assert [(r["quantity"], r["window"]) for r in rows] == [
        ("ttft", "probe"), ("itl", "probe"), ("tpot", "probe"), ("e2e", "probe"), ("ttft", "generate"),
        ("e2e", "generate"),
    ]  # fmt: skip
    itl = row(rows, "itl")
    assert (itl["n"], itl["failed"], itl["batch_size_mean"], itl["unit"]) == (3, 1, 1.0, "s")
    assert itl["mean"] == pytest.approx(0.7 / 3)
    assert itl["sd"] == pytest.approx(
        ((0.1 - 0.7 / 3) ** 2 + (0.2 - 0.7 / 3) ** 2 + (0.4 - 0.7 / 3) ** 2) ** 0.5 / 2**0.5
    )
    assert (itl["p25"], itl["p90"]) == (None, None), "three values have no quartiles"
    assert row(rows, "tpot")["unit"] == "s/token"
    inside = row(rows, "e2e", "generate")
    assert (inside["n"], inside["failed"], inside["batch_size_mean"], inside["mean"]) == (2, 1, 3.0, 3.0)
    assert (inside["min"], inside["p50"], inside["max"]) == (2.0, 3.0, 4.0)


def test_intervals_only_where_every_value_is_a_request_of_its_own() -> None:
    many = [response(i, 0.1 + i / 1000, 0.2 + i / 500, 0.5 + i / 100) for i in range(40)]
    rows = latency_rows([record(i, latency_s=1.0 + i) for i in range(40)], many)
    ttft = row(rows, "ttft")
    assert (ttft["p50_ci_low"], ttft["p50_ci_high"]) == (pytest.approx(0.113), pytest.approx(0.126))
    assert ttft["p90_ci_high"] == pytest.approx(0.139)
    assert ttft["p95"] is not None and ttft["p95_ci_low"] is None, "40 values give p95 but not its interval"
    assert row(rows, "tpot")["p50_ci_low"] is not None
    for held_back in (row(rows, "itl"), row(rows, "e2e", "generate")):
        assert held_back["p50"] is not None and held_back["p50_ci_low"] is None
        assert str(held_back["interval"]).startswith("withheld")
    found = latency(many)
    assert found["latency/ttft_s_p50_ci_low"] == ttft["p50_ci_low"]
    assert found["latency/e2e_s_p90_ci_high"] == row(rows, "e2e")["p90_ci_high"]
    assert not [name for name in found if "itl" in name and "_ci_" in name]


def test_choices_have_an_end_but_no_tokens() -> None:
    rows = latency_rows([], [response(0, latency_s=0.25, logprobs=(-1.0, -2.0))])
    assert [(r["quantity"], r["p50"]) for r in rows] == [("e2e", 0.25)]


@pytest.mark.parametrize("probe", [[], [FAILED]])
def test_nothing_timed_is_absent(probe: list[Response]) -> None:
    assert latency_rows([record(0, latency_s=None, ttft_s=None)], probe) == []
    found = latency(probe)
    assert found.pop("latency/probe_failed_n") == (1.0 if probe else None)
    assert found.pop("latency/probe_n") == (0.0 if probe else None)
    assert set(found.values()) == {None}


def test_chunks_of_a_stream_are_no_tokens() -> None:
    stream = Response(
        sample_id="a", repeat=0, text="x", finish_reason="stop", usage=Usage(input_tokens=10, output_tokens=64),
        timing=Timing(stamps_s=(0.5, 0.9), stamps_of="chunks", done_s=0.9),
    )  # fmt: skip
    mislabelled = replace(stream, timing=Timing(stamps_s=(0.5, 0.9), done_s=0.9))
    for found in (latency([stream]), latency([mislabelled])):
        assert found["latency/ttft_s_p50"] == 0.5
        assert found["latency/e2e_s_p50"] == 0.9
        assert found["latency/request_tokens_per_s"] == pytest.approx(64 / 0.9)
        for name in ("decode_tokens_per_s", "tpot_s_mean", "prefill_tokens_per_s", "itl_s_p50"):
            assert found[f"latency/{name}"] is None, name
