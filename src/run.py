"""`python -m src.run`: the launcher of a checkout; the program itself is the package `wattrack` beside this file."""

import os
import sys
from pathlib import Path

_SRC = str(Path(__file__).resolve().parent)
sys.path.insert(0, _SRC)
# Launchers that start fresh interpreters (submitit, joblib) must find the package as well.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (_SRC, os.environ.get("PYTHONPATH"))))

from wattrack.cli import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
