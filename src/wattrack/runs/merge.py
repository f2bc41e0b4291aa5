"""Folders that hold parts (shards) of one run's answers, read as the one run that they are."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from wattrack.errors import DatasetError
from wattrack.files import written_whole
from wattrack.journal import response_to_json
from wattrack.runs import codec, layout
from wattrack.runs.manifest import write_manifest
from wattrack.runs.read import Key, Run, load_run


@contextmanager
def merged(parts: Sequence[Run]) -> Iterator[Run]:
    """One run with the answers and grades of all parts; what each of them measured stays with it.

    Args:
        parts: one or more runs of one identity, of which no two answered the same question. A single one is yielded as
            it is.

    Raises:
        DatasetError: two parts are of different runs, or answered the same question.
        ConfigError: a part has no answers.
    """
    if len(parts) == 1:
        yield parts[0]
        return
    _check(parts)
    with tempfile.TemporaryDirectory(prefix="wattrack-") as name:
        folder, first = Path(name), parts[0].manifest
        shutil.copyfile(parts[0].folder / layout.CONFIG, folder / layout.CONFIG)
        lines = [response_to_json(answer) + "\n" for part in parts for answer in part.responses.values()]
        written_whole(folder / layout.ANSWERS, "".join(lines).encode("ascii"))
        codec.write_records(folder / layout.RECORDS, tuple(record for part in parts for record in part.records))
        runs = ", ".join(str(part.manifest.outcome.mlflow_run_id) for part in parts)
        outcome = replace(first.outcome, mlflow_run_id=runs)
        write_manifest(folder, replace(first, outcome=outcome, measurement=None, settled=None))
        yield load_run(folder, shown=" and ".join(part.shown for part in parts))


def _check(parts: Sequence[Run]) -> None:
    found: dict[Key, Run] = {}
    for part in parts:
        if not _key(part) or _key(part) != _key(parts[0]):
            raise DatasetError(
                f"{part.shown} and {parts[0].shown} are not parts of one run: run key {_key(part)} and {_key(parts[0])}"
            )
        for key in part.responses:
            if (other := found.setdefault(key, part)) is not part:
                raise DatasetError(f"{key[0]} (repeat {key[1]}) is answered in {other.shown} and in {part.shown}")


def _key(part: Run) -> str | None:
    identity = part.manifest.identity
    return identity.run_key if identity is not None else None
