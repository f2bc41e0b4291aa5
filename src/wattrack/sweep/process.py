"""What a process needs that runs jobs: the user's own and every launcher's worker are set up by the same function."""

import atexit
import gc
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from omegaconf import OmegaConf

from wattrack import places
from wattrack.settings import config as schema

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR2") if hasattr(signal, name))
"""What clusters and launchers send when a job has to end: SIGUSR2 is submitit's word for the time limit."""


@dataclass
class _Process:
    depth: int = 0
    """How many `prepared` blocks are open: the parent's own jobs run inside the parent's."""
    parent: bool = False
    froze: bool = False
    scratch: "tempfile.TemporaryDirectory[str] | None" = None
    """Where Hydra and the log write in a dry run."""


_process = _Process()


def is_parent() -> bool:
    """Whether this process was started by the user and not by a launcher."""
    return _process.parent


@contextmanager
def prepared(*, parent: bool = False) -> Iterator[None]:
    """Set this process up for jobs, and put back what others of its users had set; inside itself it changes nothing."""
    _process.depth += 1
    try:
        if _process.depth > 1:
            yield
            return
        _process.parent = parent
        before = _set_up()
        try:
            yield
        finally:
            _undo(before)
    finally:
        _process.depth -= 1


def _set_up() -> dict[int, Any]:
    """The handlers of signals that were replaced."""
    # Importing torch, transformers and mlflow makes millions of objects that stay. Walking over them again and again
    # is a fifth of a short job's time: the first job turns collection on when they are there, and the exit skips it.
    gc.disable()
    if not _process.froze:
        atexit.register(gc.freeze)
        _process.froze = True
    # Exceptions come to us as they are; Hydra's own printing hides causes and exits with 1 for everything.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # CUDA counts fastest-first by default and NVML in bus order: number 0 must be the same GPU for both.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    schema.register()
    OmegaConf.register_new_resolver("wattrack_root", _output_root, replace=True)
    if threading.current_thread() is not threading.main_thread():
        return {}  # Python sets handlers in the main thread only
    # Launchers install handlers of their own (submitit's ignores SIGTERM and starts the job anew at SIGUSR2).
    return {number: signal.signal(number, _terminate) for number in ENDING}


def _undo(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
    _process.parent = False
    if _process.scratch is not None:
        _process.scratch.cleanup()
        _process.scratch = None
    gc.enable()


def _output_root(dry_run: bool = False) -> str:
    """Where the folders of this command go; Hydra makes some for a dry run too, which leaves nothing behind."""
    if not dry_run:
        return str(places.root())
    if _process.scratch is None:
        _process.scratch = tempfile.TemporaryDirectory(prefix="wattrack-dry-", ignore_cleanup_errors=True)
    return _process.scratch.name


def _terminate(signum: int, frame: FrameType | None) -> None:
    # A cluster's time limit sends SIGTERM; end like Ctrl-C, with every run closed.
    raise KeyboardInterrupt
