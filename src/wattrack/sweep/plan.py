"""What a sweep will do, written beside its jobs before the first of them starts: `sweep.json`."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wattrack import places
from wattrack.errors import ConfigError
from wattrack.files import written_whole

FILE = "sweep.json"
ALONE = "none"
"""The launcher of a command that runs one job: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """One job of a sweep, before it runs."""

    number: int
    """Hydra's number of the job, from 0."""
    name: str
    overrides: tuple[str, ...]
    folder: str | None
    """The job's output folder; None where its settings cannot be composed."""
    refused: str | None = None
    """Why its settings cannot be composed, in one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The content of `sweep.json`."""

    id: str
    """`YYYYMMDD-HHMMSS-xxxx`: the time and four random hexadecimal digits."""
    folder: str
    started_unix_s: float
    swept: tuple[str, ...]
    """The settings that the sweep varies, as keys of the command line."""
    overrides: tuple[str, ...]
    """What was said on the command line."""
    launcher: str
    """Class name of Hydra's launcher, or ALONE."""
    config: Mapping[str, Any]
    """The configuration that all jobs start from, without secrets."""
    jobs: tuple[PlannedJob, ...]
    """Every job; empty where the sweeper only decides while it runs what to try next."""


_SWEEP = TypeAdapter(Sweep)


def new_id() -> str:
    """An id for a sweep that begins now."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"


def write(sweep: Sweep) -> None:
    """Write the plan into the sweep's folder, whole or not at all."""
    path = Path(sweep.folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    written_whole(path, (json.dumps(asdict(sweep), indent=2, ensure_ascii=False, default=str) + "\n").encode())


def read(folder: Path) -> Sweep | None:
    """The plan of the sweep in this folder; None when there is none, ConfigError when it is damaged."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return _SWEEP.validate_json(path.read_bytes())
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: expected the plan of a sweep of this version ({place}: {first['msg']})") from e


def find(sweep: str) -> Sweep:
    """The sweep with this id below multirun/, or in this folder. ConfigError when there is none."""
    if (found := read(Path(sweep))) is not None:
        return found
    multirun = places.root() / "multirun"
    for path in sorted(multirun.rglob(FILE), reverse=True):
        if _id_of(path) == sweep and (found := read(path.parent)) is not None:
            return found
    raise ConfigError(
        f"{sweep}: expected the id of a sweep below {multirun} or a folder that holds {FILE}; "
        f"the latest are: {_latest(multirun)}"
    )


def _latest(multirun: Path) -> str:
    ids = sorted(filter(None, (_id_of(path) for path in multirun.rglob(FILE))), reverse=True)
    return ", ".join(ids[:3]) or "none"


def _id_of(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text("utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def swept_by(sweep: Sweep | None) -> tuple[str, ...]:
    """The settings that a sweep varies; none without a sweep."""
    return sweep.swept if sweep is not None else ()
