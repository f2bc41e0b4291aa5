"""Reading rows: every format, and the file and line of what is wrong."""

import csv
import gzip
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattrack.errors import DatasetError
from wattrack.tasks.rows import embedded_rows, find_local, jsonl_rows, local_rows

ROWS = [
    {"question": "a\u2028b?", "answer": "#### 1"},
    {"question": "NA", "answer": "#### 2"},
    {"question": 'two\r\n"lines", and\nmore', "answer": "007"},
]


def _write(folder: Path, kind: str) -> Path:
    file = folder / f"test.{kind}"
    lines = "\n".join(json.dumps(r, ensure_ascii=False) for r in ROWS) + "\n"
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=["question", "answer"])
    writer.writeheader()
    writer.writerows(ROWS)
    texts = {"jsonl": "\ufeff" + lines, "json": json.dumps({"data": ROWS}), "csv": "\ufeff" + table.getvalue()}
    if kind == "parquet":
        pd.DataFrame(ROWS).to_parquet(file)
    elif kind.endswith(".gz"):
        file.write_bytes(gzip.compress(texts[kind.removesuffix(".gz")].encode()))
    else:
        file.write_text(texts[kind], "utf-8", newline="")
    return file


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "json", "json.gz", "parquet", "csv", "csv.gz"])
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    file = _write(tmp_path, kind)
    assert find_local(tmp_path, "test") == file
    assert [row for _, row in local_rows(file)] == ROWS


def test_json_lines_may_be_called_json(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text("".join(json.dumps(row) + "\r\n" for row in ROWS), "utf-8", newline="")
    assert [row for _, row in local_rows(tmp_path / "test.json")] == ROWS
    (tmp_path / "test.json").write_text('{"a": 1}\n{"a": ', "utf-8")
    with pytest.raises(DatasetError, match=r"test\.json:2: not valid JSON"):
        local_rows(tmp_path / "test.json")


def test_the_names_of_samples_become_a_field_where_one_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(json.dumps({"7": {"a": 1}, "8": {"a": 2, "id": "own"}}), "utf-8")
    rows = [row for _, row in local_rows(tmp_path / "test.json", key="id")]
    assert rows == [{"id": "7", "a": 1}, {"id": "own", "a": 2}]


@pytest.mark.parametrize(
    "shape", [ROWS, {"data": ROWS}, {"samples": ROWS}, {"problems": ROWS}, {"examples": ROWS}, dict(enumerate(ROWS))]
)
def test_json_shapes(tmp_path: Path, shape: object) -> None:
    (tmp_path / "test.json").write_text(json.dumps(shape), "utf-8")
    assert [row for _, row in local_rows(tmp_path / "test.json")] == ROWS


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"no rows; the file is empty"),
        (b"\n\n", r"no rows in it"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            r"test\.jsonl: a Git LFS pointer, not the data: run `git lfs pull`",
        ),
        (b"\n<!DOCTYPE html>\n<html>", r"test\.jsonl: a web page, not data: download the raw file"),
        (b'{"question": "a"}\n{"question": "b', r"test\.jsonl:2: not valid JSON .*truncated"),
        (b'{"question": "a"}\n\n[1]\n', r"test\.jsonl:3: expected a JSON object, got list"),
        (b'{"question": "\xff"}\n', r"not UTF-8"),
    ],
)
def test_damage_is_named_with_file_and_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "test.jsonl"
    file.write_bytes(content)
    for read in (local_rows, jsonl_rows):
        with pytest.raises(DatasetError, match=message):
            read(file)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "json", "json.gz", "parquet", "csv", "csv.gz", "txt"])
@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"])
def test_an_empty_file_and_a_pointer_are_said_so_in_every_format(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / f"test.{kind}").write_bytes(content)
    with pytest.raises(DatasetError, match=r"the file is empty|a Git LFS pointer"):
        local_rows(find_local(tmp_path, "test"))


@pytest.mark.parametrize(
    ("kind", "content"),
    [("json", b"[]"), ("json", b"{}"), ("json", b'{"data": []}'), ("csv", b"question,answer\n"), ("txt", b"\n \n")],
)
def test_a_file_without_rows_is_an_error(tmp_path: Path, kind: str, content: bytes) -> None:
    (tmp_path / f"test.{kind}").write_bytes(content)
    with pytest.raises(DatasetError, match="no rows in it"):
        local_rows(tmp_path / f"test.{kind}")


def test_truncated_gzip(tmp_path: Path) -> None:
    file = _write(tmp_path, "jsonl.gz")
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(DatasetError, match=r"test\.jsonl\.gz: cannot be read .*complete"):
        local_rows(file)


def test_truncated_parquet(tmp_path: Path) -> None:
    file = _write(tmp_path, "parquet")
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(DatasetError, match=r"not a readable parquet"):
        local_rows(file)


def test_csv_with_a_short_row(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("question,answer\na,b\nc\n", "utf-8")
    with pytest.raises(DatasetError, match=r"test\.csv:3: expected 2 columns"):
        local_rows(tmp_path / "test.csv")


def test_missing_folder_and_missing_split(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        find_local(tmp_path / "nowhere", "test")
    with pytest.raises(DatasetError, match=r"none of test\.jsonl"):
        find_local(tmp_path, "test")


def test_a_split_may_have_a_usual_name_or_a_given_one(tmp_path: Path) -> None:
    (tmp_path / "train_xs.jsonl").write_text("{}", "utf-8")
    (tmp_path / "dev.jsonl.gz").write_bytes(gzip.compress(b"{}"))
    assert find_local(tmp_path, "validation").name == "dev.jsonl.gz"
    assert find_local(tmp_path, "train", "train_xs").name == "train_xs.jsonl"
    with pytest.raises(DatasetError, match=r"none of train\.jsonl, .*train_m\.\* is there"):
        find_local(tmp_path, "train", "train_m")
    (tmp_path / "train.jsonl").write_text("{}", "utf-8")
    assert find_local(tmp_path, "train", "train_xs").name == "train.jsonl", "a split's own name comes first"


def test_worked_examples_of_a_dev_split_are_never_those_of_validation(tmp_path: Path) -> None:
    (tmp_path / "validation.jsonl").write_text("{}", "utf-8")  # MMLU has both
    with pytest.raises(DatasetError, match=r"none of dev\.jsonl"):
        find_local(tmp_path, "dev")


def test_embedded_rows_are_there() -> None:
    rows = embedded_rows("demo/arithmetic.jsonl")
    assert len(rows) >= 500


@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_any_text_survives_jsonl(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    file = tmp_path_factory.mktemp("rows") / "test.jsonl"
    encodable = [t.encode("utf-8", "replace").decode() for t in texts]
    file.write_text("".join(json.dumps({"t": t}, ensure_ascii=False) + "\n" for t in encodable), "utf-8", newline="\n")
    assert [row["t"] for _, row in local_rows(file)] == encodable
