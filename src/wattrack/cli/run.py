"""The command `wattrack` and its verbs; `run` hands everything after it to Hydra."""

import argparse
import atexit
import gc
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from wattrack import config as schema
from wattrack import places, sweep
from wattrack.engines.kept import KEEPER
from wattrack.errors import ConfigError, DatasetError, WattrackError
from wattrack.redaction import redacted, without_credentials
from wattrack.refusal import refusal
from wattrack.terminal import Terminal

log = logging.getLogger(__name__)

FINISHED, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
_DETAILS = " (details in job.log)"


@dataclass
class _Outcome:
    """What the jobs of this process did; Hydra's return value does not tell."""

    started: int = 0
    """Jobs that got past the check of their settings."""
    failed: int = 0
    """Jobs that ended with an error, already printed."""
    in_parent: bool = False
    """Jobs run in the process that was started by the user, so failures can be counted here."""
    scratch: "tempfile.TemporaryDirectory[str] | None" = None
    """Where Hydra and the log write in a dry run."""


_outcome = _Outcome()
_console = Terminal() if sys.stdout.isatty() else Terminal(width=160)
_stderr = Console(stderr=True)


def run(argv: Sequence[str]) -> int:
    """`wattrack run ...` and `python -m src.run ...`: compose, run every job, compare. Returns the exit status."""
    # Importing torch, transformers and mlflow makes millions of objects that stay. Walking over them again and again
    # is a fifth of a short job's time: the first job turns collection on when they are there, and the exit skips it.
    gc.disable()
    atexit.register(gc.freeze)
    # Exceptions come to us as they are; Hydra's own printing hides causes and exits with 1 for everything.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # CUDA counts fastest-first by default and NVML in bus order: number 0 must be the same GPU for both.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ[sweep.SWEEP_ID] = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    os.environ.pop(sweep.SWEPT, None)
    schema.register()
    OmegaConf.register_new_resolver("wattrack_root", _output_root, replace=True)
    signal.signal(signal.SIGTERM, _terminate)
    sys.argv = ["wattrack run", *argv]
    code = FAILED
    status: Literal["FINISHED", "FAILED", "KILLED"] = "FAILED"
    _outcome.started, _outcome.failed, _outcome.in_parent = 0, 0, True
    try:
        code = _run_hydra()
        status = "FINISHED" if code == FINISHED else "FAILED"
    except KeyboardInterrupt:
        _complain("Interrupted: finished answers are in responses.jsonl of the job's folder under multirun/.")
        code, status = INTERRUPTED, "KILLED"
    finally:
        KEEPER.keep = False
        KEEPER.free_idle()
        if _outcome.started:
            sweep.finalize(_console, status)
        if _outcome.scratch is not None:
            _outcome.scratch.cleanup()
            _outcome.scratch = None
        gc.enable()
    return code


def _output_root(dry_run: bool = False) -> str:
    """Where the folders of this command go; Hydra makes some for a dry run too, which leaves nothing behind."""
    if not dry_run:
        return str(places.root())
    if _outcome.scratch is None:
        _outcome.scratch = tempfile.TemporaryDirectory(prefix="wattrack-dry-", ignore_cleanup_errors=True)
    return _outcome.scratch.name


def _terminate(signum: int, frame: FrameType | None) -> None:
    # A cluster's time limit sends SIGTERM; end like Ctrl-C, with every run closed.
    raise KeyboardInterrupt


def _run_hydra() -> int:
    main = hydra.main(config_path=str(places.conf_dir()), config_name="config", version_base="1.3")(_job)
    try:
        main()
    except Exception as e:  # noqa: BLE001  the outermost edge: whatever a job or Hydra raised becomes one message
        _complain(_explain(e))
        return FAILED if _outcome.started else REFUSED
    if _outcome.failed:
        return FAILED if _outcome.started else REFUSED
    return FINISHED


def _job(cfg: DictConfig) -> float | None:
    """One job of Hydra's: an error is printed when it happens and the sweep goes on."""
    schema.register()  # again here: a launcher may have started this process
    _log_to(Path(HydraConfig.get().runtime.output_dir))
    try:
        return _run_one(cfg)
    except Exception as e:
        from wattrack.identity import job_name

        log.exception("the job failed")
        details = "" if cfg.dry_run else _DETAILS
        _complain(f"{job_name(cfg, sweep.swept())} failed: {_explain(e, details)}")
        _outcome.failed += 1
        if not _outcome.in_parent:
            raise  # the launcher carries it to the parent
        return None


def _run_one(cfg: DictConfig) -> float | None:
    from wattrack.job import dry_run, run_job
    from wattrack.plan import Plan

    hydra_cfg = HydraConfig.get()
    in_sweep = hydra_cfg.mode == RunMode.MULTIRUN
    identity, varied = (sweep.sweep_id(), sweep.swept()) if in_sweep else (None, ())
    plan = Plan.from_config(cfg, Path(hydra_cfg.runtime.output_dir), identity, varied)
    if cfg.dry_run:
        dry_run(plan, _console)
        return None
    _outcome.started += 1
    KEEPER.keep = in_sweep
    try:
        return run_job(plan, _console)
    except SystemExit as e:
        # Left alone it would end the whole sweep with that exit status, even 0.
        raise WattrackError(f"the job called sys.exit({e.code!r})") from e


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


def _complain(text: str) -> None:
    _stderr.print(redacted(text), style="red", markup=False, highlight=False, soft_wrap=True)


def _explain(error: BaseException, details: str = _DETAILS) -> str:
    """One line for people; Hydra's composition errors get the key and the choices."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return refusal(error)
    if isinstance(error, WattrackError):
        return str(error)
    return f"{type(error).__name__}: {error}{details}"


def main(argv: Sequence[str] | None = None) -> int:
    """The command `wattrack`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"]:
        return run(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        code: int = options.call(options)
    except WattrackError as e:
        _complain(str(e))
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wattrack", description="Quality, speed, memory and energy of language models."
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    verbs.add_parser("run", help="run a job or, with -m, a sweep; takes Hydra overrides (wattrack run --help)")
    verb = verbs.add_parser("list", help="what can be named; with dataset=NAME: read its rows and check them")
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="dataset=NAME, dataset.data_dir=DIR ...")
    verb.set_defaults(call=_list)
    verb = verbs.add_parser("ui", help="open the store that runs are written to")
    verb.add_argument("--host", default="127.0.0.1")
    verb.add_argument("--port", type=int, default=5000)
    verb.set_defaults(call=_ui)
    verb = verbs.add_parser("doctor", help="close runs whose process died, check the store")
    verb.set_defaults(call=_doctor)
    verb = verbs.add_parser("sync", help="log results that the store did not take")
    verb.add_argument("folder", nargs="?", type=Path, help="where to look; default: multirun/")
    verb.set_defaults(call=_sync)
    verb = verbs.add_parser("score", help="score the stored answers of a job again, with the scorer as it is now")
    verb.add_argument("job", metavar="RUN", help="an MLflow run id or a job's output folder")
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="scorer, judge, similarity, data_dir, tracking")
    verb.set_defaults(call=_score)
    return parser


def _list(options: argparse.Namespace) -> int:
    from wattrack.catalogue import catalogue

    if options.overrides:
        return _check_rows(options.overrides)
    for part in catalogue():
        _console.print(part, highlight=False, soft_wrap=isinstance(part, str))
    return FINISHED


def _check_rows(overrides: Sequence[str]) -> int:
    from wattrack.availability import checked

    try:
        _console.print(checked(overrides), highlight=False)
    except (ConfigError, DatasetError, HydraException, OmegaConfBaseException) as e:
        _complain(_explain(e))
        return REFUSED
    return FINISHED


def _ui(options: argparse.Namespace) -> int:
    from wattrack.tracking.store import ensure_store, store_uri, ui_command

    uri = store_uri(None, places.root())
    if uri.startswith("http"):
        _console.print(f"the store is a server: open {without_credentials(uri)}", highlight=False, soft_wrap=True)
        return FINISHED
    ensure_store(uri)
    command, environment = ui_command(uri, options.host, options.port)
    _console.print(f"{redacted(uri)}\nhttp://{options.host}:{options.port}", highlight=False, soft_wrap=True)
    os.execvpe(command[0], command, {**os.environ, **environment})


def _doctor(options: argparse.Namespace) -> int:
    from wattrack.tracking.store import Tracker, ensure_store, store_uri

    root = places.root()
    uri = store_uri(None, root)
    ensure_store(uri)
    ended = list(Tracker(uri, None, artifact_root=root / "mlruns").close_dead_runs().values())
    _console.print(
        f"store: {redacted(uri)}\nruns whose process had died, now KILLED: {ended.count('KILLED')}", soft_wrap=True
    )
    if finished := ended.count("FINISHED"):
        _console.print(f"runs whose results were logged and which only had not ended, now FINISHED: {finished}")
    return FINISHED


def _sync(options: argparse.Namespace) -> int:
    from wattrack.delivery import log_unlogged
    from wattrack.spool import UNLOGGED

    folder = options.folder or places.root() / "multirun"
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    failed, spooled = 0, sorted(folder.rglob(UNLOGGED))
    for path in spooled:
        try:
            run_id = log_unlogged(path, _console)
        except Exception as e:  # noqa: BLE001  one bad result must not keep the others from the store
            failed += 1
            reason = str(e) if isinstance(e, WattrackError) else f"{type(e).__name__}: {e}"
            _complain(f"{path.parent}: {reason}")
        else:
            _console.print(f"{path.parent}: logged as run {run_id}", markup=False, highlight=False, soft_wrap=True)
    _console.print(f"{len(spooled) - failed} result(s) logged" + (f", {failed} not" if failed else ""))
    return FAILED if failed else FINISHED


def _score(options: argparse.Namespace) -> int:
    from wattrack.rescoring import rescore

    try:
        rescore(options.job, options.overrides, _console)
    except (ConfigError, DatasetError, HydraException, OmegaConfBaseException) as e:
        _complain(_explain(e))
        return REFUSED
    except KeyboardInterrupt:
        _complain("Interrupted: nothing was logged.")
        return INTERRUPTED
    return FINISHED
