"""Which files of a dataset's repository hold a split: by the card's `configs`, or by the names of files and folders.

The rules are the hub's (huggingface.co/docs/hub/datasets-data-files-configuration) and the `datasets` package's: a card
may list for each config the files of each split; without such a list a folder or a file that is called after a split
holds it, and where nothing is, everything is `train`.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from wattrack.errors import DatasetError

SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz", ".json", ".csv")
_NO_DATA = frozenset({"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"})
_KEYWORDS = {
    "train": "train|training",
    "validation": "validation|valid|dev|val",
    "test": "test|testing|eval|evaluation",
}
_SEPARATOR = "[-._ 0-9]"
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")

Splits = Mapping[str, Sequence[str]]
"""Split -> its files, in order."""


def metadata(readme: str) -> Mapping[str, Any]:
    """The card's YAML between two lines `---`; nothing without one. DatasetError when it is no YAML."""
    found = re.match(r"\s*---[ \t]*\n(.*?)\n---", readme.replace("\r\n", "\n"), re.DOTALL)
    try:
        content = yaml.safe_load(found.group(1)) if found else {}
    except yaml.YAMLError as e:
        raise DatasetError(f"README.md: its metadata is not valid YAML ({str(e).splitlines()[0]})") from e
    return content if isinstance(content, Mapping) else {}


def data_files(files: Sequence[str], card: Mapping[str, Any], config: str | None, split: str) -> list[str]:
    """The files of a split in order; DatasetError names the configs or splits that there are, or a missing shard."""
    splits = _splits(sorted(f for f in files if _is_data(f)), card.get("configs") or [], config)
    found = splits.get(split) or []
    if not found:
        known = ", ".join(name for name, names in splits.items() if names) or "none"
        raise DatasetError(f"{f'({config}) ' if config else ''}has no split {split}: it has {known} (dataset.split)")
    suffix = Counter(_suffix(name) for name in found).most_common(1)[0][0]
    chosen = [name for name in found if _suffix(name) == suffix]
    shards = [(int(m.group(1)), int(m.group(2))) for name in chosen if (m := _SHARD.search(name))]
    if shards and len(shards) == len(chosen) and len({k for k, _ in shards}) < max(n for _, n in shards):
        raise DatasetError(f"has {len(shards)} of the {shards[0][1]} files of {split}: {', '.join(chosen)}")
    return chosen


def _is_data(path: str) -> bool:
    name = path.rpartition("/")[2]
    hidden = any(part.startswith((".", "__")) for part in path.split("/"))
    return path.endswith(SUFFIXES) and name not in _NO_DATA and not hidden


def _suffix(path: str) -> str:
    return next(s for s in SUFFIXES if path.endswith(s))


def _splits(files: Sequence[str], configs: Sequence[Mapping[str, Any]], config: str | None) -> Splits:
    if not configs:
        # As in the copies that the hub makes itself (refs/convert/parquet): one folder for each config.
        inside = [f for f in files if config and f.startswith(f"{config}/")]
        if config and config != "default" and not inside:
            raise DatasetError(f"has no config {config}: its card lists none (dataset.hub_config)")
        return _inferred(inside or files, f"{config}/" if inside else "")
    chosen = _chosen(configs, config)
    folder = str(chosen.get("data_dir") or "").strip("/")
    prefix = f"{folder}/" if folder else ""
    stated = chosen.get("data_files")
    if stated is None:
        return _inferred([f for f in files if f.startswith(prefix)], prefix)
    return {
        split: list(dict.fromkeys(f for pattern in patterns for f in files if _matches(prefix + pattern, f)))
        for split, patterns in _stated(stated).items()
    }


def _chosen(configs: Sequence[Mapping[str, Any]], config: str | None) -> Mapping[str, Any]:
    named = {str(c.get("config_name", "default")): c for c in configs}
    default = next((name for name, c in named.items() if c.get("default")), None)
    name = config or default or ("default" if "default" in named or len(named) > 1 else next(iter(named)))
    if name not in named:
        asked = f"has no config {config}" if config else "has several configs"
        raise DatasetError(f"{asked}: it has {', '.join(named)} (dataset.hub_config)")
    return named[name]


def _stated(spec: Any) -> dict[str, list[str]]:
    """Split -> patterns, from a pattern, a list of patterns, a list of {split, path} or a mapping."""
    if isinstance(spec, Mapping):
        return {str(split): _patterns(paths) for split, paths in spec.items()}
    if isinstance(spec, list) and any(isinstance(entry, Mapping) for entry in spec):
        return {str(entry["split"]): _patterns(entry["path"]) for entry in spec}
    return {"train": _patterns(spec)}


def _patterns(paths: Any) -> list[str]:
    return [str(path).removeprefix("./") for path in (paths if isinstance(paths, list) else [paths])]


def _matches(pattern: str, path: str) -> bool:
    """Whether a glob pattern fits the whole path: `*` stays inside a folder, `**` does not."""
    tokens = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern)
    regex = "".join(tokens.get(p, p if p.startswith("[") and len(p) > 1 else re.escape(p)) for p in parts)
    return re.fullmatch(regex, path) is not None


def _inferred(files: Sequence[str], prefix: str) -> Splits:
    """Split -> files by their names, the first rule that finds any."""
    inside = {f: f.removeprefix(prefix) for f in files}
    shards: dict[str, list[str]] = {}
    for file, path in inside.items():
        if found := re.fullmatch(r"data/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*", path):
            shards.setdefault(found.group(1), []).append(file)
    if shards:
        return shards
    for regex, part in (("(?:.*{sep})?(?:{words})(?:{sep}.*)?", 0), ("(?:.*{sep})?(?:{words}){sep}.*", 2)):
        splits = {}
        for split, words in _KEYWORDS.items():
            name = re.compile(regex.format(sep=_SEPARATOR, words=words), re.DOTALL)
            pieces = {f: p.rpartition("/")[part].split("/") for f, p in inside.items()}
            splits[split] = [f for f, names in pieces.items() if any(map(name.fullmatch, names))]
        if any(splits.values()):
            return splits
    return {"train": list(files)}
