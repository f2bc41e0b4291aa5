"""A job of the past: its settings, answers and grades, from its output folder or from the files of its MLflow run."""

import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from wattrack.config import Config
from wattrack.errors import ConfigError, DatasetError, TrackingError
from wattrack.journal import read_journal
from wattrack.refusal import refusal
from wattrack.schema import Record, Response
from wattrack.tracking.store import Tracker

BY_EMBEDDER = "similarity_"
"""How such metrics of a record begin; a scorer has no part in them."""
_ARTIFACTS = ("config/config.yaml", "job/responses.jsonl", "job/summary.json", "job/records.parquet")
"""The output folder's files, as they are attached to the MLflow run."""

Key = tuple[str, int]
"""(sample id, repeat)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """What a scorer or judge said of one answer; equal grades compare equal."""

    score: float | None
    """None: the answer does not count for the headline."""
    answer: str | None
    metrics: Mapping[str, float]

    @classmethod
    def of(cls, record: Record) -> "Grade":
        """The grade in a record."""
        graded = {name: value for name, value in record.metrics.items() if not name.startswith(BY_EMBEDDER)}
        return cls(score=_known(record.score), answer=record.answer, metrics=graded)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """What a job left."""

    folder: Path
    run_id: str
    cfg: DictConfig
    dataset: Mapping[str, Any]
    """Which rows it asked, by the fields of `DatasetFacts`."""
    judge: tuple[str, str] | None
    """Who rated its answers and the hash of what that model was asked, where one did."""
    embedder: str | None
    """What compared its answers with references, where one was named."""
    prompt_sha256: str | None
    """Of what was the same in all its prompts; None when it failed before its end."""
    run_key: str | None
    """None when it failed before its end."""
    metrics: Mapping[str, float]
    responses: Mapping[Key, Response]
    grades: Mapping[Key, Grade]
    """Empty when its answers were never scored."""


@contextmanager
def stored_job(run: str, tracker: Tracker) -> Iterator[StoredJob]:
    """The job in the folder `run`, or the one that was logged as the MLflow run `run`; read-only.

    Raises:
        ConfigError: there is no such job, or a file of it is missing or unreadable.
        DatasetError: its answers are damaged; names the line.
    """
    if Path(run).is_dir():
        yield _read(Path(run))
        return
    if not re.fullmatch(r"[0-9a-f]{32}", run):
        raise ConfigError(f"{run}: neither a job's output folder nor an MLflow run id")
    with tempfile.TemporaryDirectory(prefix="wattrack-") as name:
        try:
            tracker.download(run, _ARTIFACTS, Path(name))
        except TrackingError as e:
            raise ConfigError(str(e)) from e
        yield _read(Path(name), shown=f"run {run}")


def _read(folder: Path, shown: str | None = None) -> StoredJob:
    where = shown or str(folder)
    for name in ("config.yaml", "responses.jsonl", "summary.json"):
        if not (folder / name).is_file():
            raise ConfigError(f"{where}: no {name}; expected what a job leaves in its output folder")
    try:
        summary = json.loads((folder / "summary.json").read_text("utf-8"))
    except ValueError as e:
        raise ConfigError(f"{where}: summary.json is not valid JSON ({e})") from e
    if "dataset" not in summary:
        raise ConfigError(f"{where}: summary.json does not say which rows were asked, so they cannot be compared")
    tags = summary.get("tags", {})
    return StoredJob(
        folder=folder,
        run_id=summary["mlflow_run_id"],
        cfg=_settings(folder / "config.yaml", where),
        dataset=summary["dataset"],
        judge=(tags["judge.name"], tags["judge.prompt_sha256"]) if "judge.name" in tags else None,
        embedder=tags.get("similarity.conditions"),
        prompt_sha256=summary.get("prompt_sha256"),
        run_key=summary.get("run_key"),
        metrics=summary.get("metrics", {}),
        responses={(r.sample_id, r.repeat): r for r in read_journal(folder / "responses.jsonl")},
        grades=_grades(folder / "records.parquet"),
    )


def _settings(path: Path, where: str) -> DictConfig:
    """The job's resolved configuration with its types; keys that have come since take their defaults."""
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(path))
    except (OmegaConfBaseException, YAMLError) as e:
        raise ConfigError(f"{where}: config.yaml cannot be used by this version: {refusal(e)}") from e
    assert isinstance(merged, DictConfig)
    return merged


def _grades(path: Path) -> dict[Key, Grade]:
    """By question and repeat; empty without the file."""
    if not path.is_file():
        return {}
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as e:
        raise DatasetError(f"{path}: not a readable table of records ({e})") from e
    names = {column: column.removeprefix("metric/") for column in frame.columns if column.startswith("metric/")}
    names = {column: name for column, name in names.items() if not name.startswith(BY_EMBEDDER)}
    return {
        (str(row["id"]), int(row["repeat"])): Grade(
            score=_known(row["score"]),
            answer=None if pd.isna(row["answer"]) else str(row["answer"]),
            metrics={name: float(row[column]) for column, name in names.items() if not pd.isna(row[column])},
        )
        for row in frame.to_dict("records")
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
