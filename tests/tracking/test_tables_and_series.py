"""Tables and series before they reach MLflow."""

import math
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tracking.examples import record, runs_frame
from wattrack.runs.codec import records_frame, write_records
from wattrack.schema import SystemSample
from wattrack.tracking.series import MAX_POINTS, finite, rounded, rounded_table, running_points, system_points
from wattrack.tracking.tables import VIEWER_ROWS, comparison_frame, cut, viewer_frame

LONG = "ü" * 3000
ASKED = {"params.dataset": "arithmetic"}


def test_the_complete_table_keeps_everything(tmp_path: Path) -> None:
    records = [record(0, output=LONG), record(1, answer=None, latency_s=None, metrics={"exact_match_strict": 0.0})]
    records_frame(records).to_parquet(tmp_path / "records.parquet")
    table = pd.read_parquet(tmp_path / "records.parquet")
    assert table["output"][0] == LONG
    assert list(table["metric/exact_match_flexible"].isna()) == [False, True]
    assert list(table["answer"].isna()) == list(table["latency_s"].isna()) == [False, True]
    assert table["prompt_text"].notna().all()


def test_column_types_do_not_depend_on_the_values() -> None:
    full = records_frame([record(0, error="boom", group="algebra")])
    empty = records_frame([record(0, answer=None, latency_s=None, ttft_s=None)])
    assert list(full.dtypes) == list(empty.dtypes)
    assert list(records_frame([]).columns[:3]) == ["id", "repeat", "question"]


def test_the_viewer_table() -> None:
    table = viewer_frame([record(i, output=LONG, error=None) for i in range(VIEWER_ROWS + 5)])
    leading = ["id", "question", "output", "target", "answer", "score", "exact_match_flexible", "exact_match_strict"]
    trailing = [
        "input_tokens",
        "output_tokens",
        "latency_s",
        "ttft_s",
        "finish_reason",
        "error",
        "repeat",
        "explanation",
    ]
    assert list(table.columns) == leading + trailing
    assert len(table) == VIEWER_ROWS
    assert table["output"][0].endswith("… [cut, 3,000 chars]")
    assert len(table["output"][0].encode()) <= 2048
    assert table["error"][0] is None


def test_the_tables_of_choices(tmp_path: Path) -> None:
    records = [record(0, logprobs=(-1.5, -2.0), margin=0.5, merged_boundaries=0), record(1, error="too long")]
    write_records(tmp_path / "choices.parquet", records)
    write_records(tmp_path / "open.parquet", records[1:])
    chosen, plain = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("choices", "open"))
    assert list(chosen["logprobs"][0]) == [-1.5, -2.0]
    assert (chosen["logprobs"][1], chosen["margin"][0], chosen["merged_boundaries"][0]) == (None, 0.5, 0)
    assert list(chosen.dtypes) == list(plain.dtypes)
    schemas = [pq.read_schema(tmp_path / f"{name}.parquet") for name in ("choices", "open")]
    assert schemas[0].equals(schemas[1])
    table = viewer_frame(records)
    assert (table["margin"][0], table["margin"][1]) == (0.5, None)
    assert "margin" not in viewer_frame(records[1:])


def test_reasoning_tokens_are_shown_where_there_are_any(tmp_path: Path) -> None:
    records = [record(0, thinking_tokens=12), record(1, thinking_tokens=0), record(2)]
    assert list(viewer_frame(records)["thinking_tokens"]) == [12, 0, None]
    assert "thinking_tokens" not in viewer_frame(records[1:])
    write_records(tmp_path / "records.parquet", records)
    assert list(pd.read_parquet(tmp_path / "records.parquet")["thinking_tokens"].astype(object)) == [12, 0, pd.NA]


def test_repeats_of_a_question_are_told_apart() -> None:
    table = viewer_frame([record(7, repeat=0), record(7, repeat=1)])
    assert list(table["id"]) == ["7 #0", "7 #1"]


@pytest.mark.parametrize("text", ["", "short", "x" * 2048])
def test_short_texts_are_not_cut(text: str) -> None:
    assert cut(text) == text


def test_the_comparison_starts_with_the_best_and_ends_with_the_failed() -> None:
    runs = runs_frame()
    runs.loc[4] = {"run_id": "x", "status": "FAILED", "params.model": "broken", **ASKED}
    table = comparison_frame(runs)
    assert list(table["model"]) == ["demo_l", "demo_m", "demo_s", "demo_xs", "broken"]
    assert "energy/measured_wh" not in table, "a column nobody has"
    assert table["quality/score"][4] is None


def test_values_have_five_digits_and_are_finite() -> None:
    assert rounded(123456.789) == 123460.0
    kept, refused = finite({"a": 1 / 3, "b": None, "c": math.nan, "d": -math.inf, "e": 0.0})
    assert (kept, refused) == ({"a": 0.33333, "e": 0.0}, ["c", "d"])


def _samples(seconds: float, hz: float) -> list[SystemSample]:
    return [
        SystemSample(time_s=i / hz, unix_ms=1000 + round(1000 * i / hz), values={"system/a": float(i)})
        for i in range(round(seconds * hz))
    ]


def test_readings_are_averaged_over_a_second() -> None:
    points = system_points(_samples(2, 5))
    assert points == [("system/a", 0, 1000, 2.0), ("system/a", 1, 2000, 7.0)]
    assert system_points([]) == []


def test_a_long_job_has_bounded_series() -> None:
    points = system_points(_samples(5000, 1))
    assert len(points) <= MAX_POINTS
    assert points[-1][2] > 4_990_000
    running = running_points([("running/score", n, n, n / 5000) for n in range(1, 5001)])
    assert len(running) == MAX_POINTS
    assert (running[0][1], running[-1][1]) == (1, 5000)


def test_a_sensor_that_comes_and_goes() -> None:
    samples = [SystemSample(time_s=i, unix_ms=1000 * i, values={"a": math.nan} if i else {"a": 1.0}) for i in range(3)]
    assert system_points(samples) == [("a", 0, 0, 1.0)]


def test_a_table_for_the_ui_is_rounded_and_keeps_what_is_absent() -> None:
    table = pd.DataFrame({"phase": ["load", "job"], "s": [1.23456789, None], "n": [3, 12345678], "J": [None, None]})
    shown = rounded_table(table)
    assert shown.to_dict("list") == {
        "phase": ["load", "job"], "s": [1.2346, None], "n": [3, 12345678], "J": [None, None],
    }  # fmt: skip
