"""Every dataset from local files: whatever the format of the file, the samples and their digest are the same."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from dataset_rows import INVENTED, bbh
from hub_repositories import Rows, jsonl, parquet
from support import Compose
from wattrack.errors import DatasetError
from wattrack.schema import DatasetFacts, Sample
from wattrack.settings import build


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


def _csv(rows: Rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


FORMATS: Mapping[str, Callable[[Rows], bytes]] = {
    ".jsonl": jsonl,
    ".jsonl.gz": lambda rows: gzip.compress(jsonl(rows)),
    ".parquet": parquet,
    "list.json": lambda rows: _json(list(rows)),
    "data.json": lambda rows: _json({"about": "a note", "data": list(rows)}),
    "samples.json": lambda rows: _json({"samples": list(rows)}),
    "problems.json": lambda rows: _json({"problems": list(rows)}),
    "named.json": lambda rows: _json({f"sample {n}": row for n, row in enumerate(rows)}),
    "lines.json": jsonl,
    ".csv": _csv,
}
"""Suffix, with what is special about it before the dot -> bytes."""
FLAT = ("gsm8k", "humaneval", "math500", "winogrande", "gpqa", "bbh")
"""Datasets whose rows hold nothing but text, which is all that a table of text can."""
NAMES = [name for name in [*INVENTED, "bbh"] if name not in ("mt_bench", "math")]


def _samples(composed: Compose, folder: Path, name: str, *more: str) -> tuple[list[Sample], DatasetFacts]:
    task = build.task(composed(f"dataset={name}", *more))
    return replace(task, source=replace(task.source, data_dir=folder)).samples(None, 0)


def _rows(composed: Compose, name: str) -> tuple[str, Rows]:
    """(name of the file, rows)."""
    if name == "bbh":
        return "navigate", bbh(["navigate"])["navigate"]["test"]
    data = composed(f"dataset={name}").dataset
    configs = INVENTED[name]
    return data.split, configs[data.hub_config or next(iter(configs))][data.split]


@pytest.mark.parametrize("name", NAMES)
def test_every_format_gives_the_same_samples(composed: Compose, tmp_path: Path, name: str) -> None:
    stem, rows = _rows(composed, name)
    more = ["dataset.parts=[navigate]"] if name == "bbh" else []
    known: tuple[list[Sample], str] | None = None
    for kind, written in FORMATS.items():
        if kind == ".csv" and name not in FLAT:
            continue
        folder = tmp_path / kind
        folder.mkdir()
        (folder / f"{stem}.{kind.partition('.')[2]}").write_bytes(written(rows))
        samples, facts = _samples(composed, folder, name, *more)
        known = known or (samples, facts.digest)
        assert (samples, facts.digest) == known, kind
        assert len(samples) == len(rows)


@pytest.mark.parametrize("name", ["mmlu", "ifeval", "mbpp", "arc_challenge", "hellaswag"])
def test_a_table_of_text_that_cannot_hold_the_rows_is_refused(composed: Compose, tmp_path: Path, name: str) -> None:
    stem, rows = _rows(composed, name)
    (tmp_path / f"{stem}.csv").write_bytes(_csv(rows))
    with pytest.raises(DatasetError, match=rf"{stem}\.csv:\d+: `\w+` must be a list"):
        _samples(composed, tmp_path, name)


def test_toolllama_reads_the_authors_own_files(composed: Compose, tmp_path: Path) -> None:
    tool = {"name": "f", "description": "", "parameters": {"type": "object", "properties": {}, "required": []}}
    rows = {"4983": {"query": "Say a joke.", "available_tools": [tool], "answer": {"method": "chatgpt_CoT"}}}
    (tmp_path / "authors").mkdir()
    (tmp_path / "lines").mkdir()
    (tmp_path / "authors" / "G1_tool.json").write_bytes(_json(rows))
    (tmp_path / "lines" / "G1_tool.jsonl").write_bytes(jsonl([{"query_id": k, **row} for k, row in rows.items()]))
    split = "dataset.split=G1_tool"
    samples, facts = _samples(composed, tmp_path / "authors", "toolllama", split)
    assert samples[0].id == "G1_tool-4983"
    again, same = _samples(composed, tmp_path / "lines", "toolllama", split)
    assert (again, same.digest) == (samples, facts.digest)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "bfcl",
            r"its rows are not on the hub; set dataset\.data_dir: the folder bfcl_eval/data of the package bfcl",
        ),
        ("toolllama", r"set dataset\.data_dir: .*default_evalset/gpt-3\.5-turbo_CoT of github\.com/OpenBMB/ToolBench"),
        ("wattbot", r"set dataset\.data_dir: the folder with train_QA\.csv of the Kaggle competition WattBot 2025"),
    ],
)
def test_what_is_not_on_the_hub_says_where_its_files_are(composed: Compose, name: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        build.task(composed(f"dataset={name}")).samples(None, 0)
