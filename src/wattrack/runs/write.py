"""A run's folder while the run works: each part is written once, whole, as soon as it is known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from wattrack.errors import ConfigError
from wattrack.files import written_whole
from wattrack.journal import response_to_json
from wattrack.processes import owner_tags
from wattrack.runs import codec, layout
from wattrack.runs.manifest import (
    Identity,
    Manifest,
    Measurement,
    Outcome,
    Settled,
    Status,
    read_manifest,
    write_manifest,
)
from wattrack.schema import JobStart, Readings, Record, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything that measuring and grading give; all further results follow from it and the configuration."""

    records: tuple[Record, ...]
    """In question order."""
    probe: tuple[Response, ...]
    readings: Readings
    measurement: Measurement


class RunFolder:
    """Writes one run's folder. The manifest on disk is always that of the last step taken."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.path = folder
        self.manifest = manifest

    @classmethod
    def begin(cls, start: JobStart) -> "RunFolder":
        """Make the folder with its configuration and a manifest that says RUNNING; results of another run go.

        Raises:
            ConfigError: what another run left in the folder is not in the store yet.
        """
        folder = Path(start.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        before = read_manifest(folder)
        if before is not None and before.complete and not before.outcome.delivered:
            raise ConfigError(
                f"{folder} holds the results of a run that the store does not have yet: `wattrack sync {folder}` "
                "first, or let this run have another folder (hydra.run.dir)"
            )
        for name in layout.RESULTS:
            if (folder / name).is_file():
                (folder / name).unlink()
        (folder / layout.CONFIG).write_text(start.config_yaml, "utf-8")
        outcome = Outcome(status="RUNNING", owner=owner_tags())
        run = cls(folder, Manifest(name=start.name, params=start.params, tags=start.tags, outcome=outcome))
        run._note()
        return run

    def opened(self, mlflow_run_id: str) -> None:
        """Note which run of the store this is."""
        self._note(outcome=replace(self.manifest.outcome, mlflow_run_id=mlflow_run_id))

    def identified(self, identity: Identity) -> None:
        """Note what the answers will depend on."""
        self._note(identity=identity)

    def measured(self, measured: Measured) -> None:
        """Write records, probe answers, readings and samples, then the manifest that refers to them."""
        self.write_parts(measured.records, measured.probe, measured.readings)
        self._note(measurement=measured.measurement)

    def write_parts(self, records: Sequence[Record], probe: Sequence[Response], readings: Readings) -> None:
        """Write the files that the manifest is to refer to."""
        codec.write_records(self.path / layout.RECORDS, records)
        lines = "".join(response_to_json(r) + "\n" for r in probe)
        written_whole(self.path / layout.PROBE, lines.encode("ascii"))
        written_whole(self.path / layout.READINGS, codec.readings_to_json(readings))
        codec.samples_frame(readings).to_parquet(self.path / layout.SAMPLES)

    def settled(self, settled: Settled) -> None:
        """Note results that do not follow from the parts written before."""
        self._note(settled=settled)

    def ended(self, status: Status, error: str | None = None) -> None:
        """Note how the run ended."""
        self._note(outcome=replace(self.manifest.outcome, status=status, error=error))

    def delivered(self) -> None:
        """Note that the store has everything."""
        self._note(outcome=replace(self.manifest.outcome, delivered=True))

    def write_summary(self, results: Mapping[str, object], tables: Mapping[str, pd.DataFrame] | None = None) -> None:
        """Write summary.json: the outcome, the rows asked and `results`; and tables as `{"columns", "data"}` files."""
        outcome, identity = self.manifest.outcome, self.manifest.identity
        content: dict[str, object] = {
            "status": outcome.status,
            "mlflow_run_id": outcome.mlflow_run_id,
            "error": outcome.error,
        }
        if identity is not None:
            facts = identity.dataset
            content["dataset"] = {name: getattr(facts, name) for name in facts.__dataclass_fields__}
            content |= {"prompt_sha256": identity.prompt_sha256, "run_key": identity.run_key}
        text = json.dumps({**content, **results}, indent=2, ensure_ascii=False) + "\n"
        written_whole(self.path / layout.SUMMARY, text.encode("utf-8", "replace"))
        for name, table in (tables or {}).items():
            if not table.empty:
                table.to_json(self.path / name, orient="split", index=False, indent=2, double_precision=15)

    def _note(self, **changes: object) -> None:
        self.manifest = replace(self.manifest, **changes)  # type: ignore[arg-type]
        write_manifest(self.path, self.manifest)
