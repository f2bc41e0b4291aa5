"""`wattrack ui`: MLflow's pages over the store that runs are written to."""

import argparse
import os
from typing import TYPE_CHECKING

from wattrack import places
from wattrack.redaction import redacted, without_credentials
from wattrack.sweep.outcomes import FINISHED
from wattrack.terminal import console

if TYPE_CHECKING:
    from wattrack.cli.verbs import Verbs


def add(verbs: "Verbs") -> None:
    """Add the verb to the command."""
    verb = verbs.add_parser("ui", help="open the store that runs are written to")
    verb.add_argument("--host", default="127.0.0.1")
    verb.add_argument("--port", type=int, default=5000)
    verb.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    """Become the server of a local store; of a server only the address is said."""
    from wattrack.tracking.store import ensure_store, store_uri, ui_command

    out, uri = console(), store_uri(None, places.root())
    if uri.startswith("http"):
        out.print(f"the store is a server: open {without_credentials(uri)}", highlight=False, soft_wrap=True)
        return FINISHED
    ensure_store(uri)
    command, environment = ui_command(uri, options.host, options.port)
    out.print(f"{redacted(uri)}\nhttp://{options.host}:{options.port}", highlight=False, soft_wrap=True)
    os.execvpe(command[0], command, {**os.environ, **environment})
