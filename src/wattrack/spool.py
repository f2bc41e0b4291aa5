"""Results that the store did not take: kept as JSON in the job's folder until `wattrack sync` logs them."""

from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from wattrack.errors import TrackingError
from wattrack.schema import JobResult, JobStart

UNLOGGED = "unlogged.json"


def save_unlogged(path: Path, start: JobStart, result: JobResult) -> None:
    """Everything needed to log a job later, as JSON, written whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(_UNLOGGED.dump_json((start, result)))
    part.replace(path)


def load_unlogged(path: Path) -> tuple[JobStart, JobResult]:
    """The inverse of `save_unlogged`. TrackingError when the file does not hold a result."""
    try:
        return _UNLOGGED.validate_json(path.read_bytes())
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise TrackingError(f"{path.name} does not hold a result of this version ({place}: {first['msg']})") from e


# An answer without a score has NaN, which would be written as null and refused when it is read.
_UNLOGGED = TypeAdapter(tuple[JobStart, JobResult], config=ConfigDict(ser_json_inf_nan="constants"))
