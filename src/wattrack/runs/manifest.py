"""The manifest of a run's folder: who the run is, what it was asked, what became of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from wattrack.errors import DatasetError
from wattrack.facts import EngineFacts
from wattrack.files import written_whole
from wattrack.processes import died
from wattrack.runs.layout import MANIFEST, SCHEMA_VERSION
from wattrack.schema import DatasetFacts

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a run's answers depend on, known before anything is loaded."""

    run_key: str
    """SHA-256 (hex) over everything that can change the answers; empty in folders of version 0 whose run failed."""
    model: str
    """Hub id or folder, as it was found."""
    revision: str | None
    """The resolved commit of the hub; None for folders."""
    prompt_sha256: str | None
    """Of what is the same in all prompts; None where version 0 did not write it."""
    dataset: DatasetFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What only the measuring process knew and no other file of the folder says."""

    engine: EngineFacts
    facts: Mapping[str, object]
    """What meters and sandbox found out, by parameter name."""
    computed_tokens: int
    """Token positions that were computed in the throughput phase, by every process."""
    hardware: Mapping[str, str]
    """What the monitors found, by tag name."""
    total_s: float
    """Seconds of every process that worked on the run."""
    energy_points: tuple[tuple[int, int, float], ...] = ()
    """(answers, unix ms, measured joules so far) while the run generated."""
    aggregates: Mapping[str, float | None] = field(default_factory=dict)
    """Metrics of the whole run that are no means over its records, by name."""
    references: tuple[int, int] = (0, 0)
    """(reference answers that their own scorer refuses, how many were tried)."""
    segments: int = 1
    """Processes whose work the totals sum."""
    continues: str | None = None
    """The MLflow run that was continued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Results that do not follow from the folder's other files: grades given again to the answers of another run."""

    metrics: Mapping[str, float | None]
    params: Mapping[str, object]
    tags: Mapping[str, str]
    description: str
    """Markdown for people."""
    running: tuple[tuple[str, int, int, float], ...] = ()
    """Points of the running series: (metric name, step, unix_ms, value)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How far a run got."""

    status: Status
    error: str | None = None
    """One line: why it failed."""
    mlflow_run_id: str | None = None
    delivered: bool = False
    """Whether the store has everything; until then `wattrack sync` finds the folder."""
    owner: Mapping[str, str] = field(default_factory=dict)
    """Tags of the process that works on the run, by which one that died is told from one that still works."""

    @property
    def over(self) -> bool:
        """Whether nobody works on the run any more, whatever it could still say of that itself."""
        return self.status != "RUNNING" or died(self.owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything about a run that is not in a file of its own."""

    __pydantic_config__ = ConfigDict(ser_json_inf_nan="constants")  # NaN would be written as null

    schema_version: int = SCHEMA_VERSION
    name: str
    params: Mapping[str, object]
    """Resolved settings by slash-separated name."""
    tags: Mapping[str, str]
    """What was known of the run before it worked: machine, sweep, environment."""
    outcome: Outcome
    identity: Identity | None = None
    """None: the run failed before it was known."""
    measurement: Measurement | None = None
    """None: the run did not get that far, or its answers were only graded again."""
    settled: Settled | None = None
    """Of a run of `wattrack score`, which grades the answers of another run and measures nothing."""

    @property
    def complete(self) -> bool:
        """Whether the folder holds everything that the run was to give, whatever the store has."""
        return self.measurement is not None or self.settled is not None


_MANIFEST = TypeAdapter(Manifest)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json, whole or not at all."""
    written_whole(folder / MANIFEST, _MANIFEST.dump_json(manifest, indent=2) + b"\n")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none (a folder of version 0, or no run's).

    Raises:
        DatasetError: it is damaged, or of a later version.
    """
    path = folder / MANIFEST
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        version = json.loads(data).get("schema_version")
    except (ValueError, AttributeError) as e:
        raise DatasetError(f"{path}: not a manifest ({e})") from e
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: has format {version}, this version reads up to {SCHEMA_VERSION}: use a newer wattrack"
        )
    try:
        return _MANIFEST.validate_json(data)
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{path}: not a manifest ({place}: {first['msg']})") from e
