"""`python -m wattrack`: the same as the command `wattrack`."""

import sys

from wattrack.cli import main

if __name__ == "__main__":
    sys.exit(main())
