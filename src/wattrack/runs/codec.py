"""Records, readings and samples as bytes and back: what is read equals what was written."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from pydantic import ConfigDict, TypeAdapter, ValidationError

from wattrack.errors import DatasetError
from wattrack.schema import CarbonReading, Readings, Record, SystemSample, Window

_METRIC = "metric/"
"""How the columns of task metrics begin."""
_FLOATS = ("latency_s", "ttft_s", "score", "margin")
_STRINGS = ("answer", "error", "group")
_COUNTS = ("input_tokens", "output_tokens", "merged_boundaries", "thinking_tokens")


def records_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Every field of every record in record order; task metrics are columns `metric/<name>`; absent values are null."""
    names = sorted({name for record in records for name in record.metrics})
    rows = []
    for record in records:
        row = asdict(record)
        metrics = row.pop("metrics")
        rows.append({**row, **{f"{_METRIC}{name}": metrics.get(name) for name in names}})
    plain = [name for name in Record.__dataclass_fields__ if name != "metrics"]
    frame = pd.DataFrame(rows, columns=[*plain, *(f"{_METRIC}{name}" for name in names)])
    # Explicit types: a column without any value must not change its type from one run to the next.
    types = {name: "float64" for name in (*_FLOATS, *(f"{_METRIC}{n}" for n in names))}
    return frame.astype({**types, **dict.fromkeys(_COUNTS, "Int64"), **dict.fromkeys(_STRINGS, "string")})


def write_records(path: Path, records: Sequence[Record]) -> None:
    """The complete table as parquet; a column has the same type in every file, also where it holds no value."""
    frame = records_frame(records)
    schema = pa.Schema.from_pandas(frame, preserve_index=False)
    place = schema.get_field_index("logprobs")
    frame.to_parquet(path, schema=schema.set(place, pa.field("logprobs", pa.list_(pa.float64()))), index=False)


def read_records(path: Path) -> tuple[Record, ...]:
    """The records that `write_records` wrote; fields that have come since take their defaults.

    Raises:
        DatasetError: the file is not such a table.
    """
    try:
        columns = _columns(path)
        known = {f.name for f in fields(Record)} - {"metrics"}
        metrics = {name: str(name).removeprefix(_METRIC) for name in columns if str(name).startswith(_METRIC)}
        rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
        return tuple(_record(row, known, metrics) for row in rows)
    except (OSError, ValueError, TypeError, pa.ArrowException) as e:
        raise DatasetError(f"{path}: not a readable table of records ({e})") from e


def _columns(path: Path) -> "dict[Hashable, list[Any]]":
    columns: dict[Hashable, list[Any]] = parquet.read_table(path).to_pydict()
    return columns


def _record(row: Mapping[Hashable, Any], known: set[str], metrics: Mapping[Hashable, str]) -> Record:
    values = {str(name): value for name, value in row.items() if name in known}
    # An answer that nothing graded has NaN, which the table holds as an absent value.
    values["score"] = math.nan if values["score"] is None else values["score"]
    if values.get("logprobs") is not None:
        values["logprobs"] = tuple(values["logprobs"])
    grades = {name: row[column] for column, name in metrics.items() if row[column] is not None}
    return Record(**values, metrics=grades)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """Readings without their samples, which have a table of their own."""

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="constants")

    windows: tuple[Window, ...]
    job: Window | None
    carbon: CarbonReading | None
    unavailable: Mapping[str, str]


_READINGS = TypeAdapter(_Stored)


def readings_to_json(readings: Readings) -> bytes:
    """Windows, flags and codecarbon as JSON; the time series are in a file of their own."""
    stored = _Stored(
        windows=readings.windows, job=readings.job, carbon=readings.carbon, unavailable=readings.unavailable
    )
    return _READINGS.dump_json(stored, indent=1) + b"\n"


def readings_from_json(path: Path, samples: tuple[SystemSample, ...]) -> Readings:
    """The inverse, with the samples put back.

    Raises:
        DatasetError: the file is damaged.
    """
    try:
        stored = _READINGS.validate_json(path.read_bytes())
    except ValidationError as e:
        raise DatasetError(f"{path}: not a run's readings ({e.error_count()} problems)") from e
    return Readings(
        windows=stored.windows,
        job=stored.job,
        carbon=stored.carbon,
        unavailable=stored.unavailable,
        samples=samples,
    )


def samples_frame(readings: Readings) -> pd.DataFrame:
    """One row per reading of the sampler: time_s (perf_counter), unix_ms, phase, and a column per series.

    The phase is that of the moment; between two phases it is null.
    """
    rows = [
        {"time_s": s.time_s, "unix_ms": s.unix_ms, "phase": _phase(s, readings.windows), **s.values}
        for s in readings.samples
    ]
    frame = pd.DataFrame(rows, columns=None if rows else ["time_s", "unix_ms", "phase"])
    return frame.astype({"phase": "string"})


def _phase(sample: SystemSample, windows: Sequence[Window]) -> str | None:
    return next((w.name for w in windows if w.start_s <= sample.time_s <= w.end_s), None)


def read_samples(path: Path) -> tuple[SystemSample, ...]:
    """The samples of a table that `samples_frame` made; a value that could not be read is left out again.

    Raises:
        DatasetError: the file is not such a table.
    """
    try:
        columns = _columns(path)
        times, stamps = columns.pop("time_s"), columns.pop("unix_ms")
    except (OSError, KeyError, pa.ArrowException) as e:
        raise DatasetError(f"{path}: not a readable table of samples ({e})") from e
    columns.pop("phase", None)
    series = [(str(name), values) for name, values in columns.items()]
    return tuple(
        SystemSample(
            time_s=time_s,
            unix_ms=int(unix_ms),
            values={name: values[i] for name, values in series if values[i] is not None},
        )
        for i, (time_s, unix_ms) in enumerate(zip(times, stamps, strict=True))
    )
