"""A store of its own for each test: a copy of the empty one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wattrack.tracking.store import Tracker


@pytest.fixture(autouse=True)
def no_mlflow_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The user's MLflow settings do not reach the tests; MLflow's own changes do not outlive them."""
    for name in [name for name in os.environ if name.startswith("MLFLOW")]:
        monkeypatch.delenv(name)
    yield


@pytest.fixture
def uri(outputs: Path) -> str:
    return f"sqlite:///{outputs}/mlruns/mlflow.db"


@pytest.fixture
def tracker(outputs: Path, uri: str) -> Tracker:
    return Tracker(uri, "arithmetic", artifact_root=outputs / "mlruns", traces=5)
