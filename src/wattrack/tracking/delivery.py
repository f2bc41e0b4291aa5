"""A run's folder on its way to the store: logged as it is, by the job itself or later by `wattrack sync`."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wattrack import places
from wattrack.errors import DatasetError, TrackingError
from wattrack.results.job_result import job_result
from wattrack.runs import layout, old
from wattrack.runs.manifest import write_manifest
from wattrack.runs.read import Run, load_run
from wattrack.runs.write import RunFolder
from wattrack.schema import JobResult, JobStart
from wattrack.tracking.phases import phases_frame
from wattrack.tracking.store import Status, Tracker, ensure_store, store_uri
from wattrack.tracking.tables import latency_frame

log = logging.getLogger(__name__)


def open_tracker(cfg: DictConfig) -> Tracker:
    """The store of this configuration, created when missing; TrackingError when it cannot be used."""
    root = places.root()
    uri = store_uri(cfg.tracking.uri, root)
    ensure_store(uri)
    return Tracker(uri, cfg.tracking.experiment, artifact_root=root / "mlruns", traces=cfg.tracking.traces)


@contextmanager
def working(folder: RunFolder, tracker: Tracker, start: JobStart, console: Console) -> Iterator[str]:
    """Open a run of the store for what happens inside, and end it as that ended, with the folder's files attached.

    Yields the run's id. FINISHED means that everything inside went well; an interruption gives KILLED, all else FAILED
    with the reason. The folder's manifest and summary.json say the same.

    Raises:
        TrackingError: the store cannot be written, or a finished run could not be ended.
    """
    run_id = tracker.start(start)
    folder.opened(run_id)
    status: Status = "FAILED"
    error = None
    try:
        yield run_id
        status = "FINISHED"
    except KeyboardInterrupt:
        status, error = "KILLED", "interrupted"
        raise
    except BaseException as e:
        error = f"{type(e).__name__}: {e}"
        raise
    finally:
        if status != "FINISHED":
            _write_failure(folder, status, error, console)
        close_run(tracker, run_id, status, error, folder.path, console)


def deliver(folder: RunFolder, tracker: Tracker) -> JobResult:
    """Log what the folder holds as the run that its manifest names; summary.json and tables are written with it.

    Raises:
        TrackingError: the store did not take it; the folder is complete, and `wattrack sync` delivers it later.
    """
    run = load_run(folder.path)
    result = job_result(run)
    run_id = folder.manifest.outcome.mlflow_run_id
    assert run_id is not None, "a run is opened before it is delivered"
    try:
        tracker.log(run_id, result)
    except TrackingError as e:
        raise TrackingError(f"{e} The results are in {folder.path}; when the store is back: wattrack sync") from e
    folder.ended("FINISHED")
    _write_summary(folder, result)
    folder.delivered()
    return result


def undelivered(folder: Path) -> list[Path]:
    """Every run's folder in or below `folder` that is complete and of which the store does not have everything."""
    found = []
    for name in (layout.MANIFEST, old.UNLOGGED):
        found += [path.parent for path in folder.rglob(name)]
    return [path for path in sorted(set(found)) if _is_undelivered(path)]


def _is_undelivered(folder: Path) -> bool:
    if (folder / old.UNLOGGED).is_file():
        return True
    try:
        manifest = load_run(folder).manifest
    except DatasetError as e:
        log.warning("%s", e)
        return False
    return manifest.complete and not manifest.outcome.delivered and manifest.outcome.over


def sync(path: Path, console: Console) -> str:
    """Deliver a folder that the store did not take, to the store that its configuration names; returns the run id.

    The new run and the one that failed when the store did name each other.
    """
    if (path / old.UNLOGGED).is_file():
        old.unpack(path)
    run = load_run(path)
    folder = RunFolder(path, run.manifest)
    tracker = open_tracker(DictConfig(OmegaConf.create(run.config_yaml)))
    tracker.close_dead_runs()  # such as the failed one, where the store was gone also when it was to be ended
    failed = run.manifest.outcome.mlflow_run_id
    replaces = {} if failed is None else {"wattrack.replaces": failed}
    start = _start(run)
    try:
        with working(folder, tracker, replace(start, tags={**start.tags, **replaces}), console) as run_id:
            deliver(folder, tracker)
            if failed is not None:
                _label_replaced(tracker, failed, run_id)
    except BaseException:
        if not folder.manifest.outcome.delivered:
            write_manifest(path, run.manifest)  # the run to replace is still the job's own
        raise
    return run_id


def _start(run: Run) -> JobStart:
    """What the job opened its run with."""
    return JobStart(
        name=run.manifest.name,
        kind="job",
        params=run.manifest.params,
        tags=run.manifest.tags,
        config_yaml=run.config_yaml,
        output_dir=str(run.folder),
    )


def _label_replaced(tracker: Tracker, failed: str, run_id: str) -> None:
    try:
        tracker.tag(failed, {"wattrack.replaced_by": run_id})
    except TrackingError as e:
        log.info("the failed run does not name its successor: %s", e)  # it may be in another store, or deleted


def _write_summary(folder: RunFolder, result: JobResult) -> None:
    """What follows from the folder, for people and scripts."""
    results = {
        "metrics": {k: v for k, v in result.metrics.items() if v is not None},
        "tags": dict(result.tags),
        "unavailable": dict(result.readings.unavailable),
    }
    tables = {layout.LATENCY: latency_frame(result), layout.PHASES: phases_frame(result.readings)}
    folder.write_summary(results, tables)


def _write_failure(folder: RunFolder, status: Status, error: str | None, console: Console) -> None:
    """Write a failed job's files; that they cannot be written costs a line and must not hide why the job failed."""
    try:
        folder.ended(status, error)
        if folder.manifest.complete:
            _write_summary(folder, job_result(load_run(folder.path)))
        else:
            folder.write_summary({})
    except Exception as e:  # noqa: BLE001  most likely what ended the job: a full disk
        _warn(console, f"the job's files are not complete ({type(e).__name__}: {e})")


def close_run(
    tracker: Tracker, run_id: str, status: Status, error: str | None, output_dir: Path, console: Console
) -> None:
    """Attach the job's files and end its run. A file that the store refuses costs a line; the run ends all the same.

    Raises:
        TrackingError: a FINISHED run could not be ended. Of another one only a line says so, because that must not
            hide why the job failed.
    """
    for path in (output_dir / name for name in layout.ATTACHED):
        try:
            if path.is_file():
                tracker.log_file(run_id, path, "job")
        except TrackingError as e:
            _warn(console, str(e))
            if not _answers(tracker):
                break  # each further file would wait half a minute for nothing
    _end(tracker, run_id, status, error, console)


def _end(tracker: Tracker, run_id: str, status: Status, error: str | None, console: Console) -> None:
    try:
        tracker.end(run_id, status, error)
    except TrackingError as e:
        if status == "FINISHED":
            raise TrackingError(
                f"{e} Its results are logged: the next job with this store, or `wattrack doctor`, ends it as FINISHED."
            ) from e
        _warn(console, f"{e} The next job with this store, or `wattrack doctor`, ends it.")


def _answers(tracker: Tracker) -> bool:
    try:
        ensure_store(tracker.uri)
    except TrackingError:
        return False
    return True


def _warn(console: Console, text: str) -> None:
    log.warning(text)
    console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)
