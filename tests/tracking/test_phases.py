"""Phases as tables: lengths, energy with its source, peaks; readings in the phase they fell in."""

from pathlib import Path

import pandas as pd

from tracking.examples import job_result
from wattrack.runs.codec import samples_frame
from wattrack.schema import Readings
from wattrack.tracking.phases import phases_frame

EMPTY = Readings(windows=(), samples=(), carbon=None, unavailable={})


def test_every_phase_has_a_row() -> None:
    readings = job_result(gpu=True).readings
    table = phases_frame(readings)
    assert list(table["phase"]) == [w.name for w in readings.windows]
    assert table["start_s"].min() == 0.0
    generate = table[table["phase"] == "generate"].iloc[0]
    window = readings.window("generate")
    assert window is not None
    assert generate["duration_s"] == window.duration_s
    assert generate["gpu J"] == window.energy["gpu"].joules
    assert (generate["gpu source"], generate["cpu source"]) == ("measured", "unavailable")
    assert generate["cpu J"] is None
    assert generate["memory/rss_peak_gib"] == window.peaks["memory/rss_peak_gib"]


def test_readings_know_their_phase(tmp_path: Path) -> None:
    readings = job_result().readings
    samples_frame(readings).to_parquet(tmp_path / "system.parquet")
    table = pd.read_parquet(tmp_path / "system.parquet")
    assert len(table) == len(readings.samples)
    for window in readings.windows:
        inside = table[(table["time_s"] > window.start_s) & (table["time_s"] < window.end_s)]
        assert set(inside["phase"]) <= {window.name}
    assert set(table["phase"].dropna()) >= {"generate"}


def test_nothing_measured_is_an_empty_table() -> None:
    assert list(phases_frame(EMPTY)["phase"]) == []
    assert list(samples_frame(EMPTY).columns) == ["time_s", "unix_ms", "phase"]
