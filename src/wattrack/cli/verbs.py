"""What the files of the verbs share."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]
    """argparse's list of sub-commands, to which every verb adds its own parser."""
