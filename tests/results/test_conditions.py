"""Which runs may be compared by what: refused with the names, or shown with the batch beside it."""

import io
import math
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from test_latency import FAILED, PROBE
from test_summary import record
from tracking.examples import runs_frame
from wattrack.comparison.sweep_description import sweep_description
from wattrack.comparison.sweep_table import sweep_table
from wattrack.facts import EngineFacts
from wattrack.results.columns import metric, param, tag
from wattrack.results.conditions import LATENCY, SIMILARITY, THROUGHPUT, conditions, refusals
from wattrack.results.stated import as_tag, names_of, values_of
from wattrack.tracking.sweep_plots import plot_data, write_sweep_plots
from wattrack.tracking.tables import comparison_frame

SPEEDS = {"latency/ttft_s_p50": 0.1, "throughput/output_tokens_per_s": 9.0, "energy/j_per_output_token": 2.0}


def columned(tags: dict[str, str], metrics: dict[str, float | None]) -> dict[str, object]:
    return {**{tag(k): v for k, v in tags.items()}, **{metric(k): v for k, v in metrics.items()}}


def tagged(
    name: str, mode: str = "shared", rows: int | None = None, status: str = "FINISHED", **metrics: float | None
) -> dict[str, object]:
    tags = conditions(EngineFacts(mode=mode, rows=rows or 64), rows, [record(0)], PROBE)
    return {"name": name, "status": status, **columned(tags, {**SPEEDS, **metrics})}


def test_tags_say_under_what_load_the_numbers_were_taken() -> None:
    records = [record(0, batch_size=8), record(1, batch_size=4), record(2, error="x", batch_size=1)]
    found = conditions(EngineFacts(mode="shared", rows=32), None, records, PROBE)
    assert found[LATENCY] == '{"mode": "shared", "prefix_sharing": "on", "batch": 1, "concurrency": 1}'
    asked = {"rows_asked": "auto", "rows_limit": 32, "batch_size_mean": 6.0}
    assert values_of(found[THROUGHPUT]) == {"mode": "shared", "prefix_sharing": "on", **asked}
    assert '"rows_asked": 8' in conditions(EngineFacts(mode="replay"), 8, records, [])[THROUGHPUT]
    assert conditions(EngineFacts(mode="naive"), None, [record(0, error="x")], [FAILED]) == {}


def test_equal_conditions_compare_and_another_batch_only_with_throughput_and_its_rows() -> None:
    assert refusals([tagged("a"), tagged("b", rows=1)]) == {}
    assert refusals(
        [tagged("a"), {**tagged("b"), tag(LATENCY): "mode=shared, prefix_sharing=on, batch=4, concurrency=1"}]
    ) == {"latency/ttft_s_p50": "Not compared: latency, because batch differs: 1 (a) against 4 (b)"}


def test_another_engine_mode_is_refused_and_named() -> None:
    found = refusals([tagged("a"), tagged("b", "naive"), tagged("c"), tagged("d", "naive", status="FAILED")])
    assert found.keys() == SPEEDS.keys()
    assert found["energy/j_per_output_token"] == (
        "Not compared: throughput and energy per token, because engine mode differs: shared (a, c) against naive (b)"
    )


def test_constrained_and_free_decoding_are_never_compared_by_speed() -> None:
    facts = EngineFacts(mode="shared", constraint="llguidance 1")
    held = {**tagged("b"), **columned(conditions(facts, None, [record(0)], PROBE), {})}
    assert '"constraint": "json_schema"' in str(held[tag(LATENCY)]) and "constraint" not in str(
        tagged("a")[tag(LATENCY)]
    )
    found = refusals([tagged("a"), held])
    assert found.keys() == SPEEDS.keys()
    assert all("constrained decoding differs: none (a) against json_schema (b)" in reason for reason in found.values())
    assert refusals([held, {**held, "name": "c"}]) == {}


@pytest.mark.parametrize("absent", [None, math.nan])
def test_only_runs_with_the_number_count(absent: float | None) -> None:
    found = refusals([tagged("a"), tagged("b"), tagged("c", "naive", **{"latency/ttft_s_p50": absent})])
    assert found.keys() == SPEEDS.keys() - {"latency/ttft_s_p50"}


def test_values_may_hold_what_stands_between_them_and_those_of_the_version_before_are_read() -> None:
    values = {"model_id": "a, b=c", "revision": None, "rows": 3}
    assert values_of(as_tag(values)) == values
    assert values_of("mode=shared, batch=1") == {"mode": "shared", "batch": "1"}
    assert (values_of(None), values_of(math.nan), names_of(None)) == ({}, {}, [])
    assert names_of(as_tag(["a", "b"])) == names_of("a, b") == ["a", "b"]
    old = {**tagged("old"), tag(LATENCY): "mode=shared, prefix_sharing=on, batch=1, concurrency=1"}
    assert refusals([old, tagged("new")]) == {}


def test_a_run_without_conditions_agrees_with_none() -> None:
    silent = {name: value for name, value in tagged("old").items() if name != tag(LATENCY)}
    assert refusals([silent]) == {}
    found = refusals([silent, tagged("new")])
    assert found == {
        "latency/ttft_s_p50": "Not compared: latency, because old did not record the tag latency.conditions"
    }


def test_similarities_of_different_embedders_are_refused() -> None:
    runs = [
        {"name": name, "status": "FINISHED", **columned(
            {SIMILARITY: f"model_id={model}, revision=local folder, pooling=mean"},
            {"quality/similarity_mean": 0.5, "quality/score": 1.0})}
        for name, model in (("a", "small"), ("b", "large"))
    ]  # fmt: skip
    assert refusals([runs[0], {**runs[0], "name": "c"}]) == {}
    assert refusals(runs) == {
        "quality/similarity_mean": "Not compared: similarity, because the embedder differs: small (a) against large (b)"
    }


def mixed_modes() -> pd.DataFrame:
    tags = {
        column: runs_frame()[column].str.replace("shared", "naive").str.replace("=on", "=off")
        for column in (tag(LATENCY), tag(THROUGHPUT))
    }
    shared, naive = (runs_frame().assign(**{param("effective/mode"): mode}) for mode in ("shared", "naive"))
    return pd.concat([shared, naive.assign(**tags)], ignore_index=True)


def test_every_table_and_plot_of_a_sweep_refuses(tmp_path: Path) -> None:
    runs = mixed_modes()
    console = Console(file=io.StringIO(), width=300)
    console.print(sweep_table(runs))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "tok/s" not in shown and "TTFT" not in shown and "RSS added" in shown and "naive" in shown
    assert "Not compared: latency, because engine mode differs: shared (demo_xs, demo_s" in " ".join(shown.split())
    frame = comparison_frame(runs)
    assert "latency/ttft_s_p50" not in frame and "energy/codecarbon_wh" in frame
    assert "engine mode differs" in frame["not_compared"][0] and LATENCY in frame
    assert "not_compared" not in comparison_frame(runs_frame())
    assert "engine mode differs" in sweep_description(runs)
    data = plot_data(runs)
    assert "throughput/output_tokens_per_s" not in data and "demo_s · naive" in list(data["label"])
    write_sweep_plots(tmp_path, runs)
    assert "engine mode differs" in pd.read_csv(tmp_path / "comparison.csv")["not_compared"][0]


def test_plots_tell_batches_apart() -> None:
    runs = pd.concat(
        [runs_frame().assign(**{param("preset/batch_size"): rows}) for rows in ("null", "1")], ignore_index=True
    )
    data = plot_data(runs)
    assert "throughput/output_tokens_per_s" in data
    assert {"demo_s · batch auto", "demo_s · batch 1"} <= set(data["label"])
