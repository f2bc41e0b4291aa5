"""What is printed for the user."""

import os
import sys

from rich.console import Console


class Terminal(Console):
    """A console whose reader may leave, as `head` does: the rest is not shown, and no job ends because of that."""

    def on_broken_pipe(self) -> None:
        """Go on in silence, where rich would end the process."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # also what Python flushes at its end


def console() -> Terminal:
    """Where results go: as wide as the terminal is, and wide enough for a table in a file."""
    return Terminal() if sys.stdout.isatty() else Terminal(width=160)
