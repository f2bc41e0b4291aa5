"""Results that the store did not take: kept as JSON in the job's folder until `wattrack sync` logs them."""

from pathlib import Path

from pydantic import TypeAdapter

from wattrack.schema import JobResult, JobStart

UNLOGGED = "unlogged.json"


def save_unlogged(path: Path, start: JobStart, result: JobResult) -> None:
    """Everything needed to log a job later, as JSON, written whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(_UNLOGGED.dump_json((start, result)))
    part.replace(path)


def load_unlogged(path: Path) -> tuple[JobStart, JobResult]:
    """The inverse of `save_unlogged`."""
    return _UNLOGGED.validate_json(path.read_bytes())


_UNLOGGED = TypeAdapter(tuple[JobStart, JobResult])
