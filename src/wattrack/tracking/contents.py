"""What is written into one run of the store: numbers, dataset, tables, plots, traces."""

import logging
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from wattrack.schema import JobResult
from wattrack.tracking import entries, series

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)

_BATCH = 1000
"""Most points MLflow takes at once."""


def log_numbers(client: "MlflowClient", run: "Run", result: JobResult) -> None:
    """Metrics, parameters, tags and series of a finished job; numbers that are not finite cost a warning."""
    metrics, refused = series.finite(result.metrics)
    if refused:
        log.warning("Not logged, because not a finite number: %s", ", ".join(refused))
    now = time.time_ns() // 1_000_000
    points = [(name, 0, now, value) for name, value in metrics.items()]
    points += series.running_points(result.running) + series.system_points(result.readings.samples)
    params = entries.new_params(run.data.params, entries.param_values(result.params))
    log_batch(client, run.info.run_id, points, params, entries.tag_values(result.tags))


def log_batch(
    client: "MlflowClient",
    run_id: str,
    points: Sequence[series.Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Points, parameters and tags, as many at a time as MLflow takes."""
    from mlflow.entities import Metric, Param, RunTag

    client.log_batch(
        run_id,
        params=[Param(name, value) for name, value in (params or {}).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
        synchronous=True,
    )
    for first in range(0, len(points), _BATCH):
        batch = [Metric(name, value, at, step) for name, step, at, value in points[first : first + _BATCH]]
        client.log_batch(run_id, metrics=batch, synchronous=True)


def log_dataset(client: "MlflowClient", run_id: str, result: JobResult) -> None:
    """Which rows were asked, by digest, and by which protocol."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tags = {"wattrack.dataset_digest": result.dataset.digest, "wattrack.protocol": result.dataset.protocol}
    dataset = DatasetInput(Dataset(**entries.dataset_entry(result.dataset)), [InputTag("mlflow.data.context", "eval")])
    client.log_inputs(run_id, datasets=[dataset])
    log_batch(client, run_id, tags=tags)


def log_tables(client: "MlflowClient", run_id: str, result: JobResult) -> None:
    """The per-question table that the UI compares, the phases, the latencies, and every record as Parquet."""
    from wattrack.runs.codec import write_records
    from wattrack.tracking.phases import phases_frame
    from wattrack.tracking.tables import latency_frame, viewer_frame

    client.log_table(run_id, viewer_frame(result.records), "tables/predictions.json")
    for name, table in (("phases", phases_frame(result.readings)), ("latency", latency_frame(result))):
        if not table.empty:
            client.log_table(run_id, series.rounded_table(table), f"tables/{name}.json")
    with scratch() as folder:
        write_records(folder / "records.parquet", result.records)
        client.log_artifact(run_id, str(folder / "records.parquet"), "tables")


def log_plots(client: "MlflowClient", run_id: str, model: str, result: JobResult) -> None:
    """A job's plots with their data beside them."""
    from wattrack.tracking.job_plots import write_job_plots

    with scratch() as folder:
        write_job_plots(folder, model, result)
        client.log_artifacts(run_id, str(folder), "plots")


def log_sweep_plots(client: "MlflowClient", run_id: str, runs: "pd.DataFrame") -> None:
    """The plots of a sweep's comparison."""
    from wattrack.tracking.sweep_plots import write_sweep_plots

    with scratch() as folder:
        write_sweep_plots(folder, runs)
        client.log_artifacts(run_id, str(folder), "plots")


def log_traces(uri: str, run: "Run", model: str, result: JobResult, traces: str | int) -> None:
    """The first `traces` questions as traces, and as many wrong answers; `traces` is as in `Tracker`."""
    from wattrack.tracking.traces import selected, write_traces

    chosen = selected(result.records, traces)
    if chosen:
        write_traces(uri, run.info.experiment_id, run.info.run_id, model, chosen)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards, for files on their way to the store."""
    with tempfile.TemporaryDirectory(prefix="wattrack-") as folder:
        yield Path(folder)
