"""Rows of a dataset from a local folder or the package, with the file and line of whatever is wrong."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from wattrack.errors import DatasetError
from wattrack.protocols import Row

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet", ".csv", ".csv.gz", ".txt")
_USUAL_NAMES = {"validation": ("dev", "val", "valid"), "train": ("training",)}
"""Split -> what its file is called where it does not have the split's name."""

Located = tuple[str, Row]
"""(where the row stands, for messages: "file:line"; the row)."""


def embedded_rows(name: str) -> list[Located]:
    """Rows shipped with the package, by the path of their JSONL file below it; DatasetError when it is not there."""
    file = resources.files("wattrack") / name
    if not file.is_file():
        raise DatasetError(f"embedded:{name}: the package ships no such rows")
    return list(_jsonl(file.read_text("utf-8"), name))


def find_local(folder: Path, split: str, other_name: str | None = None) -> Path:
    """The file of a split below `folder`, in one of SUFFIXES: by the split's name, a usual one, or `other_name`.

    DatasetError says what was looked for.
    """
    if not folder.is_dir():
        raise DatasetError(f"dataset.data_dir={folder}: no such folder")
    stems = [split, *_USUAL_NAMES.get(split, ()), *([other_name] if other_name else ())]
    for stem in stems:
        if (file := local_file(folder, stem)) is not None:
            return file
    names = ", ".join([*(f"{split}{suffix}" for suffix in SUFFIXES), *(f"{stem}.*" for stem in stems[1:])])
    raise DatasetError(f"dataset.data_dir={folder}: none of {names} is there")


def jsonl_rows(file: Path) -> list[Located]:
    """All rows of a file of JSON lines, whatever its name says; DatasetError names the file and the line."""
    return _checked(file, lambda: _jsonl(_text_of(file), str(file)))


def local_file(folder: Path, stem: str) -> Path | None:
    """The file called `stem` in `folder`, with the first of SUFFIXES that there is; None without one."""
    files = (folder / f"{stem}{suffix}" for suffix in SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def local_rows(file: Path, *, key: str | None = None) -> list[Located]:
    """All rows of one file; DatasetError names the file and the line.

    Where the file is an object of samples, their names go to the field `key`, if given and not there.
    """
    return _checked(file, lambda: _read(file, key))


def _checked(file: Path, read: Callable[[], Iterator[Located]]) -> list[Located]:
    try:
        with file.open("rb") as stream:
            start = stream.read(200)
        _refuse_placeholder(file, start)
        rows = list(read())
    except (OSError, EOFError, zlib.error) as e:
        raise DatasetError(f"{file}: cannot be read ({e}); is it complete?") from e
    except UnicodeDecodeError as e:
        raise DatasetError(f"{file}: not UTF-8 text (byte {e.start})") from e
    if not rows:
        raise DatasetError(f"{file}: no rows in it")
    return rows


def _refuse_placeholder(file: Path, start: bytes) -> None:
    """What stands in for data where a download went wrong."""
    if not start:
        raise DatasetError(f"{file}: no rows; the file is empty")
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        raise DatasetError(f"{file}: a Git LFS pointer, not the data: run `git lfs pull` in its repository")
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise DatasetError(f"{file}: a web page, not data: download the raw file")


def _read(file: Path, key: str | None) -> Iterator[Located]:
    name = file.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return _parquet(file)
    if name.endswith(".json"):
        return _json(_text_of(file), str(file), key)
    reader = _csv if name.endswith(".csv") else _text if name.endswith(".txt") else _jsonl
    return reader(_text_of(file), str(file))


def _text_of(file: Path) -> str:
    """Its characters as they are: line ends inside a cell of a table belong to the text."""
    data = file.read_bytes()
    return (gzip.decompress(data) if file.suffix == ".gz" else data).decode("utf-8-sig")


def _jsonl(text: str, name: str) -> Iterator[Located]:
    # Split on "\n" only: rows may hold Unicode line separators, which str.splitlines would cut at.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{name}:{number}", _object(line, f"{name}:{number}")


def _object(text: str, where: str) -> Row:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as e:
        raise DatasetError(f"{where}: not valid JSON ({e.msg}, column {e.colno}); is the file truncated?") from e
    if not isinstance(row, dict):
        raise DatasetError(f"{where}: expected a JSON object, got {type(row).__name__}")
    return row


def _json(text: str, name: str, key: str | None) -> Iterator[Located]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as e:
        if e.msg == "Extra data" and e.lineno > 1:  # several values: JSON lines, which some call .json
            yield from _jsonl(text, name)
            return
        raise DatasetError(f"{name}:{e.lineno}: not valid JSON ({e.msg}); is the file truncated?") from e
    if isinstance(content, dict):
        content = next((content[k] for k in ("data", "samples", "problems", "examples") if k in content), content)
    if isinstance(content, dict) and content and not any(isinstance(v, dict | list) for v in content.values()):
        content = [content]  # a file of JSON lines with one line
    if isinstance(content, dict):
        named = content.items()
        content = [{key: k, **row} if key is not None and isinstance(row, dict) else row for k, row in named]
    rows: list[Any] = content
    if not isinstance(rows, list):
        raise DatasetError(f"{name}: expected a list of rows, or an object with data, samples, problems or examples")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DatasetError(f"{name}: row {number}: expected an object, got {type(row).__name__}")
        yield f"{name}: row {number}", row


def _csv(text: str, name: str) -> Iterator[Located]:
    # Every cell stays text: a reader that guesses types turns "NA" into not-a-number.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DatasetError(f"{name}:{reader.line_num}: expected {len(reader.fieldnames or ())} columns")
            yield f"{name}:{reader.line_num}", row
    except csv.Error as e:
        raise DatasetError(f"{name}:{reader.line_num}: not valid CSV ({e})") from e


def _text(text: str, name: str) -> Iterator[Located]:
    """One prompt a line, blank lines left out."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"{name}:{number}", {"prompt": line.strip()}


def _parquet(file: Path) -> Iterator[Located]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(file).to_pylist()
    except pa.ArrowException as e:
        raise DatasetError(f"{file}: not a readable parquet file ({e})") from e
    for number, row in enumerate(rows, start=1):
        yield f"{file}: row {number}", row
