"""Where configuration is read from and outputs are written to."""

import os
from pathlib import Path


def root() -> Path:
    """Where outputs go: $WATTRACK_ROOT, else the checkout this package runs from, else the current folder."""
    if configured := os.environ.get("WATTRACK_ROOT"):
        return Path(configured).resolve()
    return _checkout() or Path.cwd()


def conf_dir() -> Path:
    """The configuration folder: $WATTRACK_CONF_DIR, else the checkout's, else the one in the installed package."""
    if configured := os.environ.get("WATTRACK_CONF_DIR"):
        return Path(configured).resolve()
    checkout = _checkout()
    # An editable install leaves a copy in the package that goes stale; the checkout's own folder wins.
    return checkout / "conf" if checkout else Path(__file__).resolve().parent / "conf"


def _checkout() -> Path | None:
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "conf" / "config.yaml").is_file() else None
