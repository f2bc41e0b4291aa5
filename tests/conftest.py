"""Fixtures shared by all tests: the composed configuration, and commands run in a folder of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from support import CHECKOUT, Command, Compose

from wattrack import config, places


@pytest.fixture
def composed() -> Iterator[Compose]:
    """compose(*overrides) -> the job configuration, as `python -m src.run` would see it."""
    config.register()
    OmegaConf.register_new_resolver("wattrack_root", lambda: str(places.root()), replace=True)
    with initialize_config_dir(str(places.conf_dir()), version_base="1.3"):
        yield lambda *overrides: compose("config", overrides=list(overrides))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Environment of a command whose outputs go to tmp_path and which never reaches the hub."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "HYDRA", "WATTRACK", "CUDA"))}
    return {
        **kept,
        "WATTRACK_ROOT": str(tmp_path),
        "HF_HOME": str(tmp_path / "hub"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def src_run(environment: dict[str, str]) -> Command:
    """src_run(*overrides) runs `python -m src.run` to its end."""

    def run(*overrides: str, timeout_s: float = 120, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "src.run", *overrides],
            cwd=CHECKOUT,
            env={**environment, **extra},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run
