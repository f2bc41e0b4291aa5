"""`wattrack doctor`: close what dead processes left open."""

import argparse
from typing import TYPE_CHECKING

from wattrack import places
from wattrack.redaction import redacted
from wattrack.sweep.outcomes import FINISHED
from wattrack.terminal import console

if TYPE_CHECKING:
    from wattrack.cli.verbs import Verbs


def add(verbs: "Verbs") -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser("doctor", help="close runs whose process died, check the store")
    verb.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    """End the runs whose process is gone and say how many there were."""
    from wattrack.tracking.store import Tracker, ensure_store, store_uri

    root, out = places.root(), console()
    uri = store_uri(None, root)
    ensure_store(uri)
    ended = list(Tracker(uri, None, artifact_root=root / "mlruns").close_dead_runs().values())
    out.print(
        f"store: {redacted(uri)}\nruns whose process had died, now KILLED: {ended.count('KILLED')}", soft_wrap=True
    )
    if finished := ended.count("FINISHED"):
        out.print(f"runs whose results were logged and which only had not ended, now FINISHED: {finished}")
    return FINISHED
