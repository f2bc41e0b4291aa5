"""A run found by what a person names: its folder, or its id in the store."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wattrack.errors import ConfigError, TrackingError
from wattrack.runs.layout import ARTIFACTS
from wattrack.runs.read import Run, load_run
from wattrack.tracking.store import Tracker


@contextmanager
def fetched(run: str, tracker: Tracker) -> Iterator[Run]:
    """The run in the folder `run`, or the one that was logged as the MLflow run `run`, whose files are copied.

    Raises:
        ConfigError: there is no such run, or a file of it is missing or unreadable.
        DatasetError: its manifest is damaged, or of a later version.
    """
    if Path(run).is_dir():
        yield load_run(Path(run))
        return
    if not re.fullmatch(r"[0-9a-f]{32}", run):
        raise ConfigError(f"{run}: neither a job's output folder nor an MLflow run id")
    with tempfile.TemporaryDirectory(prefix="wattrack-") as name:
        try:
            tracker.download(run, ARTIFACTS, Path(name))
        except TrackingError as e:
            raise ConfigError(str(e)) from e
        yield load_run(Path(name), shown=f"run {run}")
