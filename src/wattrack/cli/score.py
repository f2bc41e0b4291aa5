"""`wattrack score`: score stored answers again, with the scorer as it is now."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from wattrack import places
from wattrack.errors import ConfigError, DatasetError
from wattrack.monitors import running
from wattrack.settings.complaints import complain, explain
from wattrack.sweep.outcomes import FINISHED, INTERRUPTED, REFUSED
from wattrack.terminal import console

if TYPE_CHECKING:
    from wattrack.cli.verbs import Verbs


def add(verbs: "Verbs") -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser(
        "score",
        help="score the stored answers of a job again, with the scorer as it is now",
        usage="wattrack score [-h] RUN [RUN ...] [KEY=VALUE ...]",
    )
    verb.add_argument(
        "said",
        nargs="+",
        metavar="RUN",
        help="an MLflow run id or a job's output folder (several are parts of one run), then settings: scorer, judge, "
        "similarity, data_dir, tracking",
    )
    verb.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    """Score the job's answers into a new run."""
    from wattrack.rescoring.rescore import rescore

    runs = [text for text in options.said if _is_run(text)]
    overrides = [text for text in options.said if not _is_run(text)]
    try:
        if not runs:
            raise ConfigError("score: expected an MLflow run id or a job's output folder before the settings")
        # A judge or an embedder uses the machine as a job does.
        with running.listed(running.folder(places.root()), Path(runs[0])):
            rescore(runs, overrides, console())
    except (ConfigError, DatasetError, HydraException, OmegaConfBaseException) as e:
        complain(explain(e))
        return REFUSED
    except KeyboardInterrupt:
        complain("Interrupted: nothing was logged.")
        return INTERRUPTED
    return FINISHED


def _is_run(text: str) -> bool:
    """Whether it names a run, not a setting; a folder's name may hold an equals sign."""
    return Path(text).is_dir() or not ("=" in text or text.startswith(("~", "+")))
