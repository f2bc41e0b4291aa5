"""Which process a run belongs to, whether that process still lives, and whether its job had finished."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil

_CLOCK_TOLERANCE_S = 2.0
"""How far two readings of one process's creation time may be apart (the clock may be set in between)."""


def owner_tags() -> dict[str, str]:
    """Tags that identify this process: a pid alone is used again sooner or later."""
    return {
        "wattrack.host": socket.gethostname(),
        "wattrack.pid": str(os.getpid()),
        "wattrack.pid_started": f"{psutil.Process().create_time():.3f}",
    }


def is_mine(tags: Mapping[str, str]) -> bool:
    """Whether this very process wrote the tags."""
    return tags.get("wattrack.pid") == str(os.getpid()) and is_alive(tags)


def is_alive(tags: Mapping[str, str]) -> bool:
    """Whether the process that wrote the tags on this host still runs."""
    try:
        process = psutil.Process(int(tags["wattrack.pid"]))
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        started = float(tags["wattrack.pid_started"])
        return abs(process.create_time() - started) <= _CLOCK_TOLERANCE_S
    except (psutil.NoSuchProcess, KeyError, ValueError):
        return False
    except psutil.AccessDenied:
        return True


def died(tags: Mapping[str, str]) -> bool:
    """Whether the process that wrote the tags is known to be gone: it was on this host, and runs no more."""
    return tags.get("wattrack.host") == socket.gethostname() and not is_alive(tags)


def had_finished(run_id: str, tags: Mapping[str, str]) -> bool:
    """Whether the job's folder on this host says that all results of the run were logged."""
    try:
        summary = json.loads((Path(tags["wattrack.output_dir"]) / "summary.json").read_text("utf-8"))
        return bool(summary["status"] == "FINISHED" and summary["mlflow_run_id"] == run_id)
    except (OSError, ValueError, KeyError, TypeError):
        return False
