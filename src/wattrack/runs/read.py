"""A run read back from its folder: the manifest at once, each other part when it is asked for."""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from wattrack.errors import ConfigError, DatasetError
from wattrack.journal import read_journal
from wattrack.runs import codec, layout, old
from wattrack.runs.manifest import Manifest, read_manifest
from wattrack.schema import Readings, Record, Response
from wattrack.settings.config import Config
from wattrack.settings.former import upgraded
from wattrack.settings.refusal import refusal

Key = tuple[str, int]
"""(sample id, repeat)"""


class Run:
    """One run as its folder has it. A part that the run did not get to, or that its version did not keep, is empty.

    Args:
        folder: what the run wrote, or a copy of it.
        manifest: of that folder.
        shown: what messages call the run.
    """

    def __init__(self, folder: Path, manifest: Manifest, shown: str) -> None:
        self.folder = folder
        self.manifest = manifest
        self.shown = shown

    @cached_property
    def cfg(self) -> DictConfig:
        """The resolved configuration with its types; keys that have come since take their defaults.

        Raises:
            ConfigError: this version cannot use it.
        """
        try:
            stored = OmegaConf.to_container(OmegaConf.load(self.folder / layout.CONFIG))
            assert isinstance(stored, dict)
            settings = upgraded({str(key): value for key, value in stored.items()})
            merged = OmegaConf.merge(OmegaConf.structured(Config), settings)
        except (OSError, OmegaConfBaseException, YAMLError) as e:
            reason = refusal(e) if isinstance(e, OmegaConfBaseException) else str(e)
            raise ConfigError(f"{self.shown}: {layout.CONFIG} cannot be used by this version: {reason}") from e
        assert isinstance(merged, DictConfig)
        return merged

    @cached_property
    def config_yaml(self) -> str:
        """The configuration as it was written."""
        return (self.folder / layout.CONFIG).read_text("utf-8")

    @cached_property
    def responses(self) -> Mapping[Key, Response]:
        """Every answer by question and repeat.

        Raises:
            ConfigError: there are none.
            DatasetError: the file is damaged; names the line.
        """
        if not (self.folder / layout.ANSWERS).is_file():
            raise ConfigError(f"{self.shown}: no {layout.ANSWERS}; expected what a job leaves in its output folder")
        return {(r.sample_id, r.repeat): r for r in read_journal(self.folder / layout.ANSWERS)}

    @cached_property
    def probe(self) -> tuple[Response, ...]:
        """The answers of the latency probe; empty in folders of version 0, which kept their distribution only."""
        path = self.folder / layout.PROBE
        return tuple(read_journal(path)) if path.is_file() else ()

    @cached_property
    def records(self) -> tuple[Record, ...]:
        """One for each question and repeat, in question order; empty where the answers were never graded."""
        path = self.folder / layout.RECORDS
        return codec.read_records(path) if path.is_file() else ()

    @cached_property
    def readings(self) -> Readings:
        """What the meters saw. DatasetError where the file is damaged."""
        path = self.folder / layout.SAMPLES
        samples = codec.read_samples(path) if path.is_file() else ()
        if (self.folder / layout.READINGS).is_file():
            return codec.readings_from_json(self.folder / layout.READINGS, samples)
        return old.readings(self.folder, samples)

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """summary.json; empty where the run did not get that far."""
        return _summary(self.folder, self.shown)

    @property
    def metrics(self) -> Mapping[str, float]:
        """The run's metrics by name, exact; one that was not measured is left out."""
        found: Mapping[str, float] = self.summary.get("metrics", {})
        return found

    @property
    def tags(self) -> Mapping[str, str]:
        """What is known of the run, its conditions and the sources of its numbers."""
        return {**self.manifest.tags, **self.summary.get("tags", {})}


def load_run(folder: Path, shown: str | None = None) -> Run:
    """The run whose folder this is, of this version or of one before it.

    Raises:
        ConfigError: no run left this folder.
        DatasetError: its manifest is damaged, or of a later version.
    """
    manifest = read_manifest(folder)
    where = shown or str(folder)
    if manifest is None:
        missing = [name for name in (layout.CONFIG, layout.SUMMARY) if not (folder / name).is_file()]
        if missing:
            raise ConfigError(
                f"{where}: no {' and no '.join(missing)}; expected what a job leaves in its output folder"
            )
        manifest = old.manifest(_summary(folder, where), (folder / layout.CONFIG).read_text("utf-8"), where)
    return Run(folder, manifest, where)


def _summary(folder: Path, where: str) -> Mapping[str, Any]:
    path = folder / layout.SUMMARY
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise ConfigError(f"{where}: {layout.SUMMARY} is not valid JSON ({e})") from e
    if not isinstance(found, dict):
        raise DatasetError(f"{where}: {layout.SUMMARY} holds no object")
    return found
