"""`wattrack list`: what can be named, and whether a dataset's rows can be read."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from wattrack.errors import ConfigError, DatasetError
from wattrack.settings.complaints import complain, explain
from wattrack.sweep.outcomes import FINISHED, REFUSED
from wattrack.terminal import console

if TYPE_CHECKING:
    from wattrack.cli.verbs import Verbs


def add(verbs: "Verbs") -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser("list", help="what can be named; with dataset=NAME: read its rows and check them")
    verb.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="dataset=NAME, dataset.data_dir=DIR ...")
    verb.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    """Print the catalogue, or the check of one dataset's rows."""
    from wattrack.settings.catalogue import catalogue

    if options.overrides:
        return _check_rows(options.overrides)
    out = console()
    for part in catalogue():
        out.print(part, highlight=False, soft_wrap=isinstance(part, str))
    return FINISHED


def _check_rows(overrides: Sequence[str]) -> int:
    from wattrack.settings.availability import checked

    try:
        console().print(checked(overrides), highlight=False)
    except (ConfigError, DatasetError, HydraException, OmegaConfBaseException) as e:
        complain(explain(e))
        return REFUSED
    return FINISHED
