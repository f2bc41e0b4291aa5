"""Fixtures shared by all tests: the composed configuration, and commands run in a folder of their own."""

import copy
import gc
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from support import CHECKOUT, Command, Compose
from wattrack import cli, places
from wattrack.settings import config


def pytest_collection_finish() -> None:
    """What collection imported stays: the many tests that collect garbage need not walk over it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def composed() -> Compose:
    """compose(*overrides) -> the job configuration, as `python -m src.run` would see it."""
    config.register()
    OmegaConf.register_new_resolver("wattrack_root", lambda *_: str(places.root()), replace=True)
    return lambda *overrides: copy.deepcopy(_composed(*overrides))


@lru_cache(maxsize=32)
def _composed(*overrides: str) -> DictConfig:
    """Composing takes 70 ms and a copy 3; many tests start from the same dataset."""
    with initialize_config_dir(str(places.conf_dir()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


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


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs, built once; a copy costs a millisecond, a new one seconds."""
    from wattrack.tracking.store import ensure_store

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    ensure_store(f"sqlite:///{path}")
    return path


@pytest.fixture
def outputs(tmp_path: Path, empty_store: Path) -> Path:
    """The folder that a job of this test writes to, with an empty store in it."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    return tmp_path


@pytest.fixture
def run_here(outputs: Path, run_without_store: Callable[..., int]) -> Callable[..., int]:
    """run_here(*overrides) -> exit status: the command in this process, which has torch and mlflow imported already."""
    return run_without_store


@pytest.fixture
def run_without_store(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """`run_here` in an empty folder."""
    for name in [n for n in os.environ if n.startswith(("MLFLOW", "HYDRA", "WATTRACK", "CUDA"))]:
        monkeypatch.delenv(name)
    for name in ("WATTRACK_ROOT", "HF_HOME"):
        monkeypatch.setenv(name, environment[name])
    handler, argv = signal.getsignal(signal.SIGTERM), sys.argv
    before = logging.getLogger().handlers[:]

    def run(*overrides: str) -> int:
        GlobalHydra.instance().clear()
        return cli.run(overrides)

    yield run
    GlobalHydra.instance().clear()
    signal.signal(signal.SIGTERM, handler)
    sys.argv = argv
    for opened in [h for h in logging.getLogger().handlers if h not in before]:
        logging.getLogger().removeHandler(opened)
        opened.close()
