"""The end of a sweep, from what is stored: its jobs beside each other, a run of its own in MLflow, links."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wattrack import places
from wattrack.errors import TrackingError, WattrackError
from wattrack.monitors import running
from wattrack.redaction import HIDDEN, redacted
from wattrack.settings.complaints import complain
from wattrack.sweep import outcomes
from wattrack.sweep.outcomes import JobEnd
from wattrack.sweep.plan import ALONE, Sweep

if TYPE_CHECKING:
    import pandas as pd

    from wattrack.tracking.store import Status, Tracker

_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """How the command that ran the sweep came to its end."""

    interrupted: bool = False
    refused: bool = False
    """Whether the launcher stopped because settings were refused."""
    said: Collection[str] = ()
    """Output folders of the jobs whose error has been printed, and texts that have been."""


def finalize(sweep: Sweep, cfg: DictConfig, console: Console, closing: Closing) -> int:
    """Say what failed, compare the jobs, write the sweep's own run and print links; returns the exit status.

    It works from the sweep's folder and the runs that carry its id, so that it can be done again, and by another
    process: a run of the sweep's that is there already is replaced. Jobs that still run are said and left alone.
    """
    try:
        return _with_store(sweep, cfg, console, closing)
    except WattrackError as e:
        found = outcomes.of(sweep, alive=still_running())
        _say(found, closing)
        code = outcomes.exit_status(found, interrupted=closing.interrupted, refused=closing.refused)
        if code != outcomes.REFUSED:
            complain(f"The sweep's comparison could not be written: {e} Later: wattrack finalize {sweep.id}")
        return code if code != outcomes.FINISHED else outcomes.FAILED


def still_running() -> list[str]:
    """Output folders of the jobs that run on this host."""
    return [job.folder for job in running.read(running.folder(places.root())) if job.end_unix_s is None]


def wait_for(sweep: Sweep, console: Console, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until no job of the sweep runs on this host: a launcher that gave up may have left some at work."""
    folders, waiting = {job.folder for job in sweep.jobs}, 0
    while left := len(folders.intersection(still_running())):
        if left != waiting:
            console.print(f"waiting for {left} job(s) of the sweep that still run", style="yellow")
        waiting = left
        sleep(_LOOK_EVERY_S)


def _with_store(sweep: Sweep, cfg: DictConfig, console: Console, closing: Closing) -> int:
    # Imported here: Hydra reads this package at every start, also for a configuration that is then refused.
    from wattrack.tracking.delivery import open_tracker

    found = outcomes.of(sweep)
    if outcomes.exit_status(found, refused=closing.refused) == outcomes.REFUSED:  # no run can carry the sweep's id
        _say(found, closing)
        return outcomes.REFUSED
    tracker = open_tracker(cfg)
    tracker.close_dead_runs()
    runs = tracker.load_runs(sweep.id)
    rows: list[Any] = runs.to_dict("records")
    found = outcomes.of(sweep, rows, still_running())
    _say(found, closing)
    code = outcomes.exit_status(found, interrupted=closing.interrupted, refused=closing.refused)
    if sweep.launcher == ALONE:
        console.print("one job: nothing to compare")
    elif not runs.empty:
        _compare(sweep, cfg, console, tracker, runs, _status(found, code))
    return code


def _status(found: Sequence[JobEnd], code: int) -> "Status":
    if code == outcomes.INTERRUPTED:
        return "KILLED"
    return "FINISHED" if code == outcomes.FINISHED else "FAILED"


def _say(found: Sequence[JobEnd], closing: Closing) -> None:
    """One line for each job that did not finish, unless it has been printed."""
    for outcome in found:
        job = outcome.job
        if outcome.status == "RUNNING":
            complain(f"{job.name} still runs in {job.folder}: when it has ended, wattrack finalize compares again")
        elif outcome.status == "FINISHED" or job.folder in closing.said or outcome.error in closing.said:
            continue
        elif closing.interrupted and outcome.status in ("KILLED", "LOST"):
            continue  # the interruption has been said
        else:
            complain(f"{job.name} failed: {outcome.error}")


def _compare(
    sweep: Sweep, cfg: DictConfig, console: Console, tracker: "Tracker", runs: "pd.DataFrame", status: "Status"
) -> None:
    """The table here, the sweep's own run in MLflow with plots, links; each of its jobs' runs carries its id."""
    from wattrack import environment
    from wattrack.comparison.sweep_description import sweep_description
    from wattrack.comparison.sweep_table import sweep_tables
    from wattrack.job.main import print_links
    from wattrack.schema import JobStart

    for table in sweep_tables(runs, console.width):
        console.print(table)
    for member in runs["run_id"]:
        tracker.tag(member, {f"wattrack.sweep.{sweep.id}": "1"})
    before = tracker.sweep_runs(sweep.id)
    start = JobStart(
        name=f"sweep {sweep.id}",
        kind="sweep",
        params={"jobs": len(sweep.jobs) or len(runs)},
        tags={**environment.describe(), "wattrack.sweep_id": sweep.id},
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(redacted(OmegaConf.to_container(cfg, enum_to_str=True)))),
        output_dir=sweep.folder,
    )
    run_id = tracker.start(start)
    try:
        tracker.log_sweep(run_id, runs, sweep_description(runs))
        tracker.save_views()
    except BaseException:
        tracker.end(run_id, "FAILED", "the comparison could not be logged")
        raise
    tracker.end(run_id, status, None)
    for replaced in before:
        tracker.delete(replaced)
    finished = runs[runs["status"] == "FINISHED"]
    print_links(console, tracker, list(finished["run_id"]), cfg)


def stored_config(sweep: Sweep, uri: str | None) -> DictConfig:
    """The configuration in `sweep.json`, with another store when one is named."""
    cfg = OmegaConf.create(dict(sweep.config))
    assert isinstance(cfg, DictConfig)
    if uri is not None:
        cfg.tracking.uri = uri
    elif HIDDEN in str(cfg.tracking.uri):
        raise TrackingError(
            f"the store {cfg.tracking.uri} needs a password, which sweep.json does not keep: say tracking.uri=..."
        )
    return cfg
