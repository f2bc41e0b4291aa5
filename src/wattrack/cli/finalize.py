"""`wattrack finalize`: compare the jobs of a sweep whose own process died before it could."""

import argparse
from typing import TYPE_CHECKING

from wattrack.errors import ConfigError
from wattrack.settings.complaints import complain
from wattrack.sweep.outcomes import REFUSED
from wattrack.terminal import console

if TYPE_CHECKING:
    from wattrack.cli.verbs import Verbs

_STORE = "tracking.uri="


def add(verbs: "Verbs") -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser("finalize", help="compare the jobs of a sweep whose own process died before it could")
    verb.add_argument("sweep", metavar="SWEEP", help="a sweep's id or folder")
    verb.add_argument("overrides", nargs="*", metavar="tracking.uri=URI", help="the store, when it is another one")
    verb.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    """Finalize the sweep from what is stored; the exit status is that of its jobs."""
    from wattrack.sweep import plan
    from wattrack.sweep.finalize import Closing, finalize, stored_config

    try:
        if unknown := [text for text in options.overrides if not text.startswith(_STORE)]:
            raise ConfigError(f"{unknown[0]}: expected {_STORE}URI, the only setting that finalize takes")
        uris = [text.removeprefix(_STORE) for text in options.overrides]
        sweep = plan.find(options.sweep)
        cfg = stored_config(sweep, uris[-1] if uris else None)
    except ConfigError as e:
        complain(str(e))
        return REFUSED
    return finalize(sweep, cfg, console(), Closing())
