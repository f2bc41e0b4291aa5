"""A job's results on their way to the store: logged, or kept for `wattrack sync`; files attached; the run closed."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wattrack import places
from wattrack.artifacts import FILES, write_results
from wattrack.errors import TrackingError
from wattrack.schema import JobResult, JobStart
from wattrack.spool import UNLOGGED, load_unlogged, save_unlogged
from wattrack.tracking.store import Status, Tracker, ensure_store, store_uri

log = logging.getLogger(__name__)


def open_tracker(cfg: DictConfig) -> Tracker:
    """The store of this configuration, created when missing; TrackingError when it cannot be used."""
    root = places.root()
    uri = store_uri(cfg.tracking.uri, root)
    ensure_store(uri)
    return Tracker(uri, cfg.tracking.experiment, artifact_root=root / "mlruns", traces=cfg.tracking.traces)


def log_result(tracker: Tracker, run_id: str, start: JobStart, result: JobResult, output_dir: Path) -> None:
    """Log the result; when the store fails now, keep it on disk for `wattrack sync` and say so."""
    try:
        tracker.log(run_id, result)
    except TrackingError as e:
        save_unlogged(output_dir / UNLOGGED, start, result)
        raise TrackingError(f"{e} The results are in {output_dir}; when the store is back: wattrack sync") from e


def log_unlogged(path: Path, console: Console) -> str:
    """Log a spooled result to the store that its configuration names; returns the run id and removes the spool.

    The new run and the one that failed when the store did name each other.
    """
    start, result = load_unlogged(path)
    folder = path.parent
    tracker = open_tracker(DictConfig(OmegaConf.create(start.config_yaml)))
    tracker.close_dead_runs()  # such as the failed one, where the store was gone also when it was to be ended
    failed = _run_before(folder)
    replaces = {} if failed is None else {"wattrack.replaces": failed}
    run_id = tracker.start(replace(start, tags={**start.tags, **replaces}))
    try:
        tracker.log(run_id, result)
        write_results(folder, run_id, "FINISHED", None, result, result.dataset)
    except BaseException as e:
        _end(tracker, run_id, "FAILED", f"{type(e).__name__}: {e}", console)
        raise
    path.unlink()
    if failed is not None:
        _label_replaced(tracker, failed, run_id)
    close_run(tracker, run_id, "FINISHED", None, folder, console)
    return run_id


def _run_before(folder: Path) -> str | None:
    """The run that the job's summary.json names; None where the job did not get to write one."""
    try:
        return str(json.loads((folder / "summary.json").read_text("utf-8"))["mlflow_run_id"])
    except (OSError, ValueError, KeyError):
        return None


def _label_replaced(tracker: Tracker, failed: str, run_id: str) -> None:
    try:
        tracker.tag(failed, {"wattrack.replaced_by": run_id})
    except TrackingError as e:
        log.info("the failed run does not name its successor: %s", e)  # it may be in another store, or deleted


def write_failure(write: Callable[[], None], console: Console) -> None:
    """Write a failed job's files; that they cannot be written costs a line and must not hide why the job failed."""
    try:
        write()
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
    for path in (output_dir / name for name in FILES):
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
