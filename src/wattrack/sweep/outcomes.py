"""How the jobs of a sweep ended, from what they left in their folders and in the store; and the exit status of that."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wattrack import errors
from wattrack.errors import WattrackError
from wattrack.files import written_whole
from wattrack.runs.layout import SUMMARY
from wattrack.settings.complaints import DETAILS
from wattrack.sweep.plan import PlannedJob, Sweep

FINISHED, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit status of `wattrack run`: all jobs finished; one did not; nothing ran; interrupted."""
_LOST = "no outcome: its process died, or it never started"
_STAMPS_DIFFER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """How one job ended."""

    job: PlannedJob
    status: str
    """FINISHED, FAILED, KILLED, REFUSED (its settings were), RUNNING, or LOST where nothing is known of it."""
    error: str | None = None
    run_id: str | None = None


def write(folder: Path, status: str, error: str) -> None:
    """Leave the outcome of a job that ended without a run, in the form that all jobs use."""
    content = {"status": status, "mlflow_run_id": None, "error": error}
    folder.mkdir(parents=True, exist_ok=True)
    written_whole(folder / SUMMARY, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def stamp(folder: Path) -> tuple[int, int] | None:
    """Something that changes when the job's outcome is written."""
    try:
        found = os.stat(folder / SUMMARY)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def of(sweep: Sweep, runs: Iterable[Mapping[str, object]] = (), alive: Sequence[str] = ()) -> list[JobEnd]:
    """The outcome of every job of the sweep, in its order.

    Args:
        sweep: the plan.
        runs: rows of the store's runs of this sweep; they tell of jobs whose process died before it wrote an outcome.
        alive: output folders of jobs that run on this host now.
    """
    by_folder = {str(run.get("tags.wattrack.output_dir")): run for run in runs}
    return [_outcome(sweep, job, by_folder, alive) for job in sweep.jobs or _found(sweep)]


def _found(sweep: Sweep) -> list[PlannedJob]:
    """The jobs of a sweep whose sweeper did not say beforehand what it would try."""
    folders = sorted(p.parent for p in Path(sweep.folder).glob(f"*/{SUMMARY}"))
    return [PlannedJob(number=n, name=f.name, overrides=(), folder=str(f)) for n, f in enumerate(folders)]


def _outcome(sweep: Sweep, job: PlannedJob, runs: Mapping[str, Mapping[str, object]], alive: Sequence[str]) -> JobEnd:
    if job.folder is None:
        return JobEnd(job=job, status="REFUSED", error=job.refused)
    if job.folder in alive:
        return JobEnd(job=job, status="RUNNING")
    if (stored := _stored(Path(job.folder), sweep.started_unix_s)) is not None:
        status, error, run_id = str(stored["status"]), stored.get("error"), stored.get("mlflow_run_id")
        return JobEnd(
            job=job,
            status=status,
            error=_said(status, str(error)) if error is not None else None,
            run_id=str(run_id) if run_id is not None else None,
        )
    run = runs.get(job.folder)
    if run is None:
        return JobEnd(job=job, status="LOST", error=_LOST)
    error = run.get("tags.wattrack.error")
    text = error if isinstance(error, str) else _LOST
    return JobEnd(job=job, status=str(run["status"]), error=text, run_id=str(run["run_id"]))


def _stored(folder: Path, since_unix_s: float) -> Mapping[str, object] | None:
    """What the job wrote; not what another sweep left in a folder that is used again."""
    path = folder / SUMMARY
    try:
        if path.stat().st_mtime < since_unix_s - _STAMPS_DIFFER_S:
            return None
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and "status" in content else None


def _said(status: str, error: str) -> str:
    """Our own refusals speak for themselves; what broke keeps the name of its kind, and the log has the rest."""
    kind, _, text = error.partition(": ")
    found = getattr(errors, kind, None)
    if text and isinstance(found, type) and issubclass(found, WattrackError):
        return text
    return f"{error}{DETAILS}" if status == "FAILED" else error


def exit_status(outcomes: Sequence[JobEnd], *, interrupted: bool = False, refused: bool = False) -> int:
    """What the command says about these jobs; `refused` = the launcher stopped because settings were refused."""
    if interrupted:
        return INTERRUPTED
    statuses = {outcome.status for outcome in outcomes}
    if statuses <= {"FINISHED"}:
        return REFUSED if refused and not statuses else FINISHED
    nothing_ran = statuses <= {"REFUSED"} or (refused and statuses <= {"REFUSED", "LOST"})
    return REFUSED if nothing_ran else FAILED
