"""Which jobs run on this host at the same time, so that a figure of the whole machine is not taken for one job's.

Covers: every wattrack job of this host that writes below the same root: one file each in `<root>/mlruns/running/`, held
by `flock` while the job runs, with the stamp of its start and, when it has ended, of its end.
Does not cover: jobs of another root, and programs that are not ours (`nvml` lists those that compute on the GPU).
Resolution: a job that was killed counts until the last second in which it was alive.
"""

import contextlib
import fcntl
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wattrack.files import written_whole

log = logging.getLogger(__name__)

_ALIVE_EVERY_S = 1.0
_OF_OTHER_HOSTS_S = 7 * 24 * 3600.0
"""Files of other hosts that are not touched for so long are removed by anybody."""

Neighbours = Callable[[float, float], int]
"""How many other jobs of this host ran at any time between two Unix stamps in seconds."""

_own: set[str] = set()
"""Names of the files of this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """One file of the list."""

    path: Path
    host: str
    folder: str
    """The job's output folder."""
    start_unix_s: float
    end_unix_s: float | None
    """None while it runs; of a process that died without saying so, when it was last alive."""


def folder(root: Path) -> Path:
    """The folder below an output root in which every running job has a file."""
    return root / "mlruns" / "running"


@contextmanager
def listed(where: Path, output_dir: Path) -> Iterator[None]:
    """List this process's job in the folder `where` while the body runs; that it cannot be listed costs a warning."""
    path = where / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:12]}.json"
    content: dict[str, object] = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "folder": str(output_dir),
        "start_unix_s": time.time(),
    }
    _own.add(path.name)
    held = None
    try:
        where.mkdir(parents=True, exist_ok=True)
        _prune(where)
        held = _hold(path, content)
    except OSError as e:
        log.warning("jobs that run beside this one will not know of it: %s cannot be written (%s)", path, e)
    ended = threading.Event()
    alive = threading.Thread(target=_touch, args=(path, ended), name="wattrack-alive", daemon=True)
    if held is not None:
        alive.start()
    try:
        yield
    finally:
        if held is not None:
            ended.set()
            alive.join()
            with contextlib.suppress(OSError):
                written_whole(path, json.dumps({**content, "end_unix_s": time.time()}).encode())
            os.close(held)


def others(where: Path, start_unix_s: float, end_unix_s: float) -> int:
    """How many jobs of other processes on this host ran at any time between the two stamps."""
    host = socket.gethostname()
    return sum(
        job.host == host
        and job.path.name not in _own
        and job.start_unix_s <= end_unix_s
        and (job.end_unix_s is None or job.end_unix_s >= start_unix_s)
        for job in read(where)
    )


def read(where: Path) -> list[RunningJob]:
    """Every job of the list; a file that cannot be read is left out."""
    found = []
    for path in sorted(where.glob("*.json")):
        try:
            content = json.loads(path.read_text("utf-8"))
            ended = content.get("end_unix_s")
            end = float(ended) if ended is not None else None if _is_held(path) else path.stat().st_mtime
            found.append(
                RunningJob(
                    path=path,
                    host=str(content["host"]),
                    folder=str(content["folder"]),
                    start_unix_s=float(content["start_unix_s"]),
                    end_unix_s=end,
                )
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def alone(start_unix_s: float, end_unix_s: float) -> int:
    """The neighbours of a job that is not asked to look for any."""
    return 0


def _hold(path: Path, content: dict[str, object]) -> int:
    """Make the file, locked before anyone can see it; the lock lives as long as the descriptor."""
    part = path.with_suffix(".part")
    held = os.open(part, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        os.write(held, json.dumps(content).encode())
        part.replace(path)
    except BaseException:
        os.close(held)
        raise
    return held


def _is_held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _touch(path: Path, ended: threading.Event) -> None:
    while not ended.wait(_ALIVE_EVERY_S):
        with contextlib.suppress(OSError):
            os.utime(path)


def _prune(where: Path) -> None:
    """Remove what ended before every job that still runs began: no window can overlap it any more."""
    host, now, jobs = socket.gethostname(), time.time(), read(where)
    oldest = min((job.start_unix_s for job in jobs if job.host == host and job.end_unix_s is None), default=now)
    for job in jobs:
        limit = oldest if job.host == host else now - _OF_OTHER_HOSTS_S
        if job.end_unix_s is not None and job.end_unix_s < limit:
            job.path.unlink(missing_ok=True)
