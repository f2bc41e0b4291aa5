"""Folders of version 0, which had no manifest: what can be told of them in today's terms."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from wattrack.errors import ConfigError, DatasetError
from wattrack.journal import response_from_json
from wattrack.runs.layout import PHASES, SUMMARY
from wattrack.runs.manifest import Identity, Manifest, Outcome, Settled
from wattrack.runs.write import RunFolder
from wattrack.schema import DatasetFacts, Energy, Readings, Record, SystemSample, Window
from wattrack.settings.flat import flatten

UNLOGGED = "unlogged.json"
"""Where version 0 kept the results that the store did not take."""


def manifest(summary: Mapping[str, Any], config_yaml: str, where: str) -> Manifest:
    """A manifest from summary.json and config.yaml: who and how it ended, and nothing that was not kept.

    Raises:
        ConfigError: the summary does not say what came of the run.
    """
    settings = yaml.safe_load(config_yaml)
    if not isinstance(settings, dict) or "status" not in summary or "mlflow_run_id" not in summary:
        raise ConfigError(f"{where}: summary.json and config.yaml are not those of a job")
    return Manifest(
        schema_version=0,
        name=f"{settings['model']['name']} · {settings['dataset']['name']}",
        params=flatten(settings),
        tags=summary.get("tags", {}),
        outcome=Outcome(
            status=summary["status"],
            error=summary.get("error"),
            mlflow_run_id=summary["mlflow_run_id"],
            # Version 0 kept what the store had not taken in a file of its own.
            delivered=True,
        ),
        identity=_identity(summary, settings),
    )


def _identity(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> Identity | None:
    """None for a run that failed before its rows were known; one that failed later has rows and no key."""
    if "dataset" not in summary:
        return None
    return Identity(
        run_key=summary.get("run_key", ""),
        model=settings["model"]["id"],
        revision=None,
        prompt_sha256=summary.get("prompt_sha256"),
        dataset=DatasetFacts(**summary["dataset"]),
    )


def readings(folder: Path, samples: tuple[SystemSample, ...]) -> Readings:
    """The windows as phases.json tells them: lengths, energies and peaks; without flags, error bounds or codecarbon."""
    path = folder / PHASES
    if not path.is_file():
        return Readings(windows=(), samples=samples, carbon=None, unavailable={"readings": "the run kept none"})
    table = json.loads(path.read_text("utf-8"))
    windows = [_window(dict(zip(table["columns"], row, strict=True))) for row in table["data"]]
    return Readings(
        windows=tuple(w for w in windows if w.name != "job"),
        samples=samples,
        carbon=None,
        unavailable={"codecarbon": "folders of version 0 did not keep its parts"},
        job=next((w for w in windows if w.name == "job"), None),
    )


def _window(row: Mapping[str, Any]) -> Window:
    parts = [name.removesuffix(" source") for name in row if name.endswith(" source") and row[name] is not None]
    told = {f"{part} {what}" for part in parts for what in ("J", "source", "how")}
    plain = {"phase", "start_s", "duration_s", "failed"}
    return Window(
        name=row["phase"],
        start_s=row["start_s"],
        end_s=row["start_s"] + row["duration_s"],
        start_unix_ms=0,
        energy={
            part: Energy(joules=row[f"{part} J"], source=row[f"{part} source"], detail=row[f"{part} how"] or "")
            for part in parts
        },
        peaks={name: value for name, value in row.items() if name not in told | plain and value is not None},
        failed=bool(row["failed"]),
    )


def unpack(folder: Path) -> None:
    """Turn such a file into the folder's own parts and remove it; until then it stays as it was.

    Raises:
        DatasetError: it does not hold a result.
    """
    path = folder / UNLOGGED
    try:
        start, result = json.loads(path.read_bytes())
        summary = json.loads((folder / SUMMARY).read_bytes())
        dataset = DatasetFacts(**result["dataset"])
        stored = _KEPT.validate_python({"records": result["records"], "readings": result["readings"]})
        probe = [response_from_json(json.dumps(response)) for response in result["probe"]]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as e:
        raise DatasetError(f"{path} does not hold a result of the version before this one ({e})") from e
    params, tags = dict(result["params"]), dict(result["tags"])
    manifest = Manifest(
        name=start["name"],
        params=start["params"],
        tags=start["tags"],
        outcome=Outcome(status="FAILED", error=summary.get("error"), mlflow_run_id=summary.get("mlflow_run_id")),
        identity=Identity(
            run_key=tags.get("wattrack.run_key", ""),
            model=str(start["params"].get("model/id")),
            revision=None,
            prompt_sha256=params.get("dataset/prompt_sha256"),
            dataset=dataset,
        ),
    )
    run = RunFolder(folder, manifest)
    run.write_parts(stored.records, probe, stored.readings)
    run.settled(
        Settled(
            metrics=result["metrics"],
            params=params,
            tags=tags,
            description=result["description"],
            running=tuple((name, step, at, value) for name, step, at, value in result["running"]),
        ),
    )
    path.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    records: tuple[Record, ...]
    readings: Readings


_KEPT = TypeAdapter(_Kept)
