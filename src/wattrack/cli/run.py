"""`wattrack run ...` and `python -m src.run ...`: compose, run every job, compare."""

import sys
from collections.abc import Sequence

import hydra

from wattrack import places
from wattrack.engines.weights.kept import KEEPER
from wattrack.settings.complaints import complain, explain, is_refusal
from wattrack.sweep import callback, outcomes, process, worker
from wattrack.sweep.callback import Begun
from wattrack.sweep.outcomes import FAILED, FINISHED, INTERRUPTED, REFUSED
from wattrack.sweep.worker import Ended
from wattrack.terminal import console


def run(argv: Sequence[str]) -> int:
    """Compose and run what these arguments say, and compare the jobs of a sweep; returns the exit status."""
    with process.prepared(parent=True):
        worker.take()
        callback.take()
        sys.argv = ["wattrack run", *argv]
        stopped = _stopped_by()
        begun, ended = callback.take(), worker.take()
        try:
            if begun is not None and not begun.cfg.dry_run:
                return _end_of_sweep(begun, ended, stopped)
        except KeyboardInterrupt:
            complain(f"Interrupted while comparing; later: wattrack finalize {begun.sweep.id if begun else ''}")
            return INTERRUPTED
        if stopped is not None:
            return _say(stopped) or (FAILED if any(e.status != "REFUSED" for e in ended) else REFUSED)
        return _worst(ended)


def _stopped_by() -> BaseException | None:
    """Run Hydra; None when it came to its end, else what stopped it."""
    main = hydra.main(config_path=str(places.conf_dir()), config_name="config", version_base="1.3")(worker.task)
    try:
        main()
    except (Exception, KeyboardInterrupt) as e:  # noqa: BLE001  the outermost edge: whatever it was becomes one message
        return e
    finally:
        KEEPER.keep = False
        KEEPER.free_idle()
    return None


def _say(stopped: BaseException) -> int:
    """Print what stopped Hydra; INTERRUPTED when it was the user or a signal, else 0."""
    if isinstance(stopped, KeyboardInterrupt):
        complain("Interrupted: finished answers are in responses.jsonl of the job's folder under multirun/.")
        return INTERRUPTED
    complain(_text(stopped))
    return 0


def _text(stopped: BaseException) -> str:
    if is_refusal(stopped):
        return explain(stopped)
    first = str(stopped).strip().partition("\n")[0]
    return f"the launcher stopped before every job had ended: {type(stopped).__name__}: {first}"


def _worst(ended: Sequence[Ended]) -> int:
    """The exit status of jobs that ran in this process without a sweep's folder."""
    statuses = {job.status for job in ended}
    if statuses <= {"FINISHED"}:
        return FINISHED
    return REFUSED if "FAILED" not in statuses and "KILLED" not in statuses else FAILED


def _end_of_sweep(begun: Begun, ended: Sequence[Ended], stopped: BaseException | None) -> int:
    from wattrack.sweep.finalize import Closing, finalize, wait_for

    out, said = console(), {job.folder for job in ended if job.said}
    refused = stopped is not None and is_refusal(stopped)
    broke = stopped is not None and not refused and not isinstance(stopped, KeyboardInterrupt)
    unsaid = [o.error for o in outcomes.of(begun.sweep) if o.status == "REFUSED" and o.job.folder is None]
    if stopped is not None and not (broke and unsaid):  # else the launcher only repeats what the plan found out
        _say(stopped)
        said.add(_text(stopped))
    if broke:
        wait_for(begun.sweep, out)
    closing = Closing(interrupted=isinstance(stopped, KeyboardInterrupt), refused=refused, said=said)
    return finalize(begun.sweep, begun.cfg, out, closing)
