"""A sweep: the jobs of one multirun, their own MLflow run with plots and table, and the links to look at."""

import logging
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wattrack.errors import WattrackError
from wattrack.terminal import Terminal

log = logging.getLogger(__name__)

SWEEP_ID = "WATTRACK_SWEEP_ID"
"""Environment variable that carries the sweep's id to every job, in whatever process a launcher starts it."""
SWEPT = "WATTRACK_SWEPT"
"""The same for the settings that the sweep varies, with commas between them."""


@dataclass
class _Current:
    cfg: DictConfig | None = None
    output_dir: str = ""


_current = _Current()


class SweepCallback(Callback):
    """Notes that a sweep began. It is finalized by the entry point: Hydra skips `on_multirun_end` when a job failed."""

    def on_multirun_start(self, config: DictConfig, **kwargs: object) -> None:
        """Keep the base configuration for `finalize`."""
        _current.output_dir = str(OmegaConf.select(config, "hydra.sweep.dir"))
        plain = config.copy()
        OmegaConf.set_readonly(plain, False)
        OmegaConf.set_struct(plain, False)
        plain.pop("hydra")
        _current.cfg = plain
        overrides = swept_overrides(config)
        os.environ[SWEPT] = ",".join(override.key_or_group for override in overrides)
        jobs = math.prod(len(list(override.sweep_iterator())) for override in overrides)
        Terminal().print(f"{jobs} jobs", highlight=False)


def swept_overrides(config: DictConfig) -> list[Override]:
    """Those with more than one value, as Hydra's own sweeper expands them."""
    swept = OmegaConf.select(config, "hydra.sweeper.params") or {}
    chosen = list(OmegaConf.select(config, "hydra.overrides.task"))
    names = {text.split("=", 1)[0] for text in chosen}
    texts = chosen + [f"{k}={v}" for k, v in swept.items() if k not in names]
    return [override for override in OverridesParser.create().parse_overrides(texts) if override.is_sweep_override()]


def sweep_id() -> str | None:
    """The id of the sweep this process works for; None in a single run's parent."""
    return os.environ.get(SWEEP_ID)


def swept() -> tuple[str, ...]:
    """The settings that the sweep this process works for varies, as keys of the command line."""
    return tuple(filter(None, os.environ.get(SWEPT, "").split(",")))


def finalize(console: Console, status: Literal["FINISHED", "FAILED", "KILLED"]) -> None:
    """Compare the sweep's jobs: a table here, a run with plots in MLflow, links. Nothing when no sweep began."""
    cfg, identity = _current.cfg, sweep_id()
    if cfg is None or identity is None:
        return
    _current.cfg = None
    try:
        _finalize(cfg, identity, console, status)
    except WattrackError as e:
        console.print(f"The sweep's comparison could not be written: {e}", style="red", markup=False, soft_wrap=True)


def _finalize(
    cfg: DictConfig, identity: str, console: Console, status: Literal["FINISHED", "FAILED", "KILLED"]
) -> None:
    # Imported here: Hydra builds SweepCallback at every start, also for a configuration that is then refused.
    from wattrack import environment
    from wattrack.comparison.sweep_description import sweep_description
    from wattrack.comparison.sweep_table import sweep_tables
    from wattrack.job import print_links
    from wattrack.redaction import redacted
    from wattrack.schema import JobStart
    from wattrack.tracking.delivery import open_tracker

    tracker = open_tracker(cfg)
    tracker.close_dead_runs()
    runs = tracker.load_runs(identity)
    if runs.empty:
        return
    for table in sweep_tables(runs, console.width):
        console.print(table)
    start = JobStart(
        name=f"sweep {identity}",
        kind="sweep",
        params={"jobs": len(runs)},
        tags={**environment.describe(), "wattrack.sweep_id": identity},
        config_yaml=OmegaConf.to_yaml(OmegaConf.create(redacted(OmegaConf.to_container(cfg, enum_to_str=True)))),
        output_dir=str(Path(_current.output_dir)),
    )
    run_id = tracker.start(start)
    try:
        tracker.log_sweep(run_id, runs, sweep_description(runs))
        tracker.save_views()
    except BaseException:
        tracker.end(run_id, "FAILED", "the comparison could not be logged")
        raise
    tracker.end(run_id, status, None)
    finished = runs[runs["status"] == "FINISHED"]
    print_links(console, tracker, list(finished["run_id"]), cfg)
