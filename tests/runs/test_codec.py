"""What a run's folder gives back equals what was put in."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracking.examples import readings, record
from wattrack.errors import DatasetError
from wattrack.runs import codec
from wattrack.schema import CarbonReading, Record


def _same(one: Record, other: Record) -> bool:
    if math.isnan(one.score) and math.isnan(other.score):
        one, other = replace(one, score=0.0), replace(other, score=0.0)
    return one == other


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    written = (
        record(0),
        record(1, right=False),
        record(2, score=math.nan, answer=None, metrics={}),
        record(3, logprobs=(-1.5, -2.25), margin=0.75, merged_boundaries=1, group="physics"),
        record(4, error="out of memory", finish_reason="error", latency_s=None, ttft_s=None, thinking_tokens=0),
        record(5, metrics={"acc": 1.0}),
    )
    codec.write_records(tmp_path / "records.parquet", written)
    read = codec.read_records(tmp_path / "records.parquet")
    assert len(read) == len(written)
    assert all(_same(a, b) for a, b in zip(written, read, strict=True))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=("Cs",))), min_size=1, max_size=4),
    value=st.floats(allow_infinity=False),
    count=st.none() | st.integers(0, 2**40),
)
def test_any_record_comes_back(texts: list[str], value: float, count: int | None, tmp_path: Path) -> None:
    written = [
        record(n, output=text, answer=text, score=value, thinking_tokens=count, metrics={})
        for n, text in enumerate(texts)
    ]
    codec.write_records(tmp_path / "records.parquet", written)
    read = codec.read_records(tmp_path / "records.parquet")
    assert all(_same(a, b) for a, b in zip(written, read, strict=True))


def test_no_records_are_a_table_too(tmp_path: Path) -> None:
    codec.write_records(tmp_path / "records.parquet", ())
    assert codec.read_records(tmp_path / "records.parquet") == ()


def test_readings_come_back_as_they_were(tmp_path: Path) -> None:
    carbon = CarbonReading(
        energy_wh=1.0, cpu_wh=0.5, ram_wh=0.5, gpu_wh=None, duration_s=60.0, cpu_source="modelled",
        gpu_source="unavailable", detail="CPU load model",
    )  # fmt: skip
    seen = replace(readings(gpu=True), carbon=carbon, unavailable={"rapl": "no permission"})
    codec.samples_frame(seen).to_parquet(tmp_path / "system.parquet")
    (tmp_path / "readings.json").write_bytes(codec.readings_to_json(seen))
    samples = codec.read_samples(tmp_path / "system.parquet")
    assert codec.readings_from_json(tmp_path / "readings.json", samples) == seen


def test_damaged_files_are_named(tmp_path: Path) -> None:
    for name in ("records.parquet", "system.parquet", "readings.json"):
        (tmp_path / name).write_bytes(b"\x00 nothing")
    with pytest.raises(DatasetError, match=r"records\.parquet: not a readable table of records"):
        codec.read_records(tmp_path / "records.parquet")
    with pytest.raises(DatasetError, match=r"system\.parquet: not a readable table of samples"):
        codec.read_samples(tmp_path / "system.parquet")
    with pytest.raises(DatasetError, match=r"readings\.json: not a run's readings"):
        codec.readings_from_json(tmp_path / "readings.json", ())
