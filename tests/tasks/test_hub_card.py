"""Which files hold a split: our rules give what the `datasets` package gives for the same repository."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_rows import INVENTED, bbh
from hub_repositories import repository
from wattrack.errors import DatasetError
from wattrack.tasks.hub_card import data_files, metadata

PARQUET = repository("gsm8k", {"main": {"test": INVENTED["gsm8k"]["main"]["test"]}})["main/test-00000-of-00001.parquet"]
ROW = b'{"a": 1}\n'


def _card(yaml: str) -> bytes:
    return f"---\n{yaml}\n---\n# text\n".encode()


ODD = {
    "names alone": {"train.jsonl": ROW, "my_dev-set.jsonl": ROW, "eval.jsonl": ROW, "retest.jsonl": ROW},
    "folders": {"data/train/a.parquet": PARQUET, "data/validation/b.parquet": PARQUET, "c/test_2/c.parquet": PARQUET},
    "shards": {f"data/odd.split-0000{n}-of-00002.parquet": PARQUET for n in range(2)},
    "no split anywhere": {"questions.jsonl": ROW, "README.md": b"no card", ".hidden/train.jsonl": ROW},
    "one pattern": {"README.md": _card("configs:\n- config_name: x\n  data_files: 'a/**/*.jsonl'"), "a/b/c.jsonl": ROW},
    "patterns": {
        "README.md": _card("configs:\n- config_name: x\n  data_files: ['a/*.jsonl', 'b.jsonl']"),
        "a/1.jsonl": ROW, "a/d/2.jsonl": ROW, "b.jsonl": ROW,
    },
    "lists": {
        "README.md": _card("configs:\n- config_name: x\n  data_files:\n  - split: dev\n    path: [a.jsonl, b*.jsonl]"),
        "a.jsonl": ROW, "b1.jsonl": ROW, "b2.jsonl": ROW, "c.jsonl": ROW,
    },
    "a folder": {
        "README.md": _card("configs:\n- config_name: x\n  data_dir: in\n- config_name: y\n  data_dir: out"),
        "in/test.jsonl": ROW, "in/train.jsonl": ROW, "out/test.jsonl": ROW,
    },
    "a default": {
        "README.md": _card(
            "configs:\n- {config_name: x, data_files: x.jsonl}\n- {config_name: y, default: true, data_files: y.jsonl}"
        ),
        "x.jsonl": ROW, "y.jsonl": ROW,
    },
}  # fmt: skip
"""Repositories that are laid out in other ways than those of our datasets."""


def _configs(files: dict[str, bytes]) -> list[str | None]:
    named = metadata(files.get("README.md", b"").decode()).get("configs") or []
    return [None, *(c["config_name"] for c in named)] if len(named) < 2 else [c["config_name"] for c in named]


@pytest.mark.parametrize("name", [*INVENTED, "bbh", *ODD])
def test_the_datasets_package_finds_the_same_files(tmp_path: Path, name: str) -> None:
    import datasets

    configs = bbh(["navigate", "snarks"]) if name == "bbh" else INVENTED.get(name, {})
    files = ODD[name] if name in ODD else repository(name, configs)
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    card = metadata(files.get("README.md", b"").decode())
    for config in _configs(files):
        builder = datasets.load_dataset_builder(str(tmp_path), config, cache_dir=str(tmp_path / "cache"))
        found = builder.config.data_files
        for split, paths in found.items():
            theirs = [Path(path).relative_to(tmp_path).as_posix() for path in paths]
            assert data_files(list(files), card, config, str(split)) == theirs
        with pytest.raises(DatasetError, match=f"has no split other: it has {', '.join(map(str, found))} "):
            data_files(list(files), card, config, "other")


def _raises(message: str, call: Callable[[], object]) -> None:
    with pytest.raises(DatasetError, match=message):
        call()


def test_what_is_missing_is_named() -> None:
    shards = ["data/test-00000-of-00003.parquet", "data/test-00002-of-00003.parquet"]
    _raises(r"has 2 of the 3 files of test: data/test-0", lambda: data_files(shards, {}, None, "test"))
    _raises(r"has no config x: its card lists none", lambda: data_files(["test.jsonl"], {}, "x", "test"))
    two = {"configs": [{"config_name": "a", "data_files": "a.csv"}, {"config_name": "b", "data_files": "b.csv"}]}
    _raises(r"has several configs: it has a, b \(dataset\.hub_config\)", lambda: data_files([], two, None, "train"))
    _raises(r"has no split test: it has none", lambda: data_files(["loader.py", "README.md"], {}, None, "test"))
    _raises(r"README\.md: its metadata is not valid YAML", lambda: metadata("---\na: [\n---\n"))


def test_the_hubs_own_copies_have_a_folder_for_each_config() -> None:
    files = ["main/test/0000.parquet", "main/train/0000.parquet", "socratic/test/0000.parquet"]
    assert data_files(files, {}, "main", "test") == ["main/test/0000.parquet"]
    assert data_files(["default/train/0000.parquet"], {}, None, "train") == ["default/train/0000.parquet"]


def test_of_several_kinds_of_file_the_most_frequent_counts() -> None:
    files = ["test/a.csv", "test/b.parquet", "test/c.parquet"]
    assert data_files(files, {}, None, "test") == ["test/b.parquet", "test/c.parquet"]
