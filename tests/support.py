"""Names that several test files use."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

CHECKOUT = Path(__file__).parents[1]

Compose = Callable[..., DictConfig]
Command = Callable[..., subprocess.CompletedProcess[str]]
