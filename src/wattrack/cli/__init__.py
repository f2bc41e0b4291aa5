"""The command `wattrack`: one file a verb; `run` hands everything after it to Hydra."""

import argparse
import sys
from collections.abc import Sequence

from wattrack.cli import doctor, finalize, list, score, sync, ui
from wattrack.cli.run import run
from wattrack.errors import WattrackError
from wattrack.settings.complaints import complain
from wattrack.sweep.outcomes import FAILED

__all__ = ["main", "run"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `wattrack` with these arguments; returns its exit status."""
    arguments = [*(sys.argv[1:] if argv is None else argv)]
    if arguments[:1] == ["run"]:
        return run(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        code: int = options.call(options)
    except WattrackError as e:
        complain(str(e))
        return FAILED
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="wattrack", description="Quality, speed, memory and energy of language models."
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    verbs.add_parser("run", help="run a job or, with -m, a sweep; takes Hydra overrides (wattrack run --help)")
    for verb in (list, ui, doctor, sync, score, finalize):
        verb.add(verbs)
    return parser
