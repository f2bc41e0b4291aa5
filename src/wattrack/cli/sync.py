"""`wattrack sync`: log the results that the store did not take when they came."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from wattrack import places
from wattrack.errors import ConfigError, WattrackError
from wattrack.settings.complaints import complain
from wattrack.sweep.outcomes import FAILED, FINISHED
from wattrack.terminal import console

if TYPE_CHECKING:
    from wattrack.cli.verbs import Verbs


def add(verbs: "Verbs") -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser("sync", help="log results that the store did not take")
    verb.add_argument("folder", nargs="?", type=Path, help="where to look; default: multirun/")
    verb.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    """Log every kept result below the folder; one that cannot be logged does not keep the others back."""
    from wattrack.tracking.delivery import sync, undelivered

    folder, out = options.folder or places.root() / "multirun", console()
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder")
    failed, waiting = 0, undelivered(folder)
    for path in waiting:
        try:
            run_id = sync(path, out)
        except Exception as e:  # noqa: BLE001  one bad result must not keep the others from the store
            failed += 1
            reason = str(e) if isinstance(e, WattrackError) else f"{type(e).__name__}: {e}"
            complain(f"{path}: {reason}")
        else:
            out.print(f"{path}: logged as run {run_id}", markup=False, highlight=False, soft_wrap=True)
    out.print(f"{len(waiting) - failed} result(s) logged" + (f", {failed} not" if failed else ""))
    return FAILED if failed else FINISHED
