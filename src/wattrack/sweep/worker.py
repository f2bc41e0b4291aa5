"""One job of Hydra's, in whatever process a launcher runs it: it says in its folder how it ended and judges nothing."""

import logging
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from wattrack import places
from wattrack.engines.weights.kept import KEEPER
from wattrack.errors import WattrackError
from wattrack.monitors import running
from wattrack.redaction import redacted
from wattrack.settings.complaints import complain, explain
from wattrack.sweep import outcomes, plan, process
from wattrack.terminal import console

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job of this process ended."""

    folder: str
    status: str
    said: bool
    """Whether its error has been printed."""


_ended: list[Ended] = []


def take() -> list[Ended]:
    """The jobs that ended in this process since the last call."""
    ended = _ended[:]
    _ended.clear()
    return ended


def task(cfg: DictConfig) -> float | None:
    """Run the composed job. An error is written and, in the user's process, printed; the other jobs go on.

    An interruption stops the user's process, and of a launcher's worker only its job.
    """
    with process.prepared():
        return _task(cfg)


def _task(cfg: DictConfig) -> float | None:
    folder = Path(HydraConfig.get().runtime.output_dir)
    _log_to(folder)
    before = outcomes.stamp(folder)
    stage = _Stage()
    status, error, value = "FINISHED", "", None
    try:
        value = _run(cfg, folder, stage)
    except KeyboardInterrupt:
        status, error = "KILLED", "interrupted"
        if process.is_parent():
            raise
    except Exception as e:
        log.exception("the job failed")
        status, error = stage.status, explain(e, "")
        if process.is_parent():
            _print_failure(cfg, e)
        elif cfg.dry_run:
            raise  # it leaves nothing, so the launcher carries it to the parent
    finally:
        _ended.append(Ended(folder=str(folder), status=status, said=process.is_parent() and status != "KILLED"))
        if status != "FINISHED" and not cfg.dry_run and outcomes.stamp(folder) == before:
            _leave(folder, status, error)
    return value


def _leave(folder: Path, status: str, error: str) -> None:
    """The outcome beside the job's files; a folder that takes no more, such as on a full disk, hides no other error."""
    try:
        outcomes.write(folder, status, str(redacted(error)))
    except OSError as e:
        log.warning("the job's outcome cannot be written: %s", e)


@dataclass
class _Stage:
    status: str = "REFUSED"
    """How the job ends when something is wrong now."""


def _run(cfg: DictConfig, folder: Path, stage: _Stage) -> float | None:
    from wattrack.job.main import dry_run, run_job
    from wattrack.job.plan import Plan

    hydra_cfg = HydraConfig.get()
    in_sweep = hydra_cfg.mode == RunMode.MULTIRUN
    sweep = plan.read(Path(hydra_cfg.sweep.dir) if in_sweep else folder)
    sweep_id = sweep.id if sweep is not None else None
    job = Plan.from_config(cfg, folder, sweep_id, plan.swept_by(sweep), alone=not in_sweep)
    if cfg.dry_run:
        dry_run(job, console())
        return None
    stage.status = "FAILED"
    KEEPER.keep = in_sweep and process.is_parent()
    try:
        with running.listed(running.folder(places.root()), folder):
            return run_job(job, console())
    except SystemExit as e:
        # Left alone it would end the whole sweep with that exit status, even 0.
        raise WattrackError(f"the job called sys.exit({e.code!r})") from e


def _print_failure(cfg: DictConfig, error: Exception) -> None:
    from wattrack.job.identity import job_name

    hydra_cfg = HydraConfig.get()
    sweep = plan.read(Path(hydra_cfg.sweep.dir)) if hydra_cfg.mode == RunMode.MULTIRUN else None
    said = explain(error, "") if cfg.dry_run else explain(error)
    complain(f"{job_name(cfg, plan.swept_by(sweep))} failed: {said}")


def _log_to(output_dir: Path) -> None:
    """Send warnings and our own notes of this job to its job.log, and nowhere else."""
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, logging.FileHandler)]:
        root.removeHandler(handler)
        handler.close()
    output_dir.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(output_dir / "job.log", encoding="utf-8")
    handler.setFormatter(_Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    logging.getLogger("wattrack").setLevel(logging.INFO)


class _Redacting(logging.Formatter):
    """job.log is attached to the run, and what MLflow raises may name the store with its password."""

    def format(self, record: logging.LogRecord) -> str:
        return str(redacted(super().format(record)))
