"""What can be named on the command line: models, datasets, presets, hardware, experiments; read from the YAMLs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.table import Table

from wattrack import places
from wattrack.settings import availability
from wattrack.settings.refusal import choices


def catalogue() -> Iterator[Table | str]:
    """One table per config group, and notes on the datasets' one."""
    folder = places.conf_dir()
    yield _table(folder, "model", ("id", "params_b", "licence", "gated"))
    yield from _datasets(folder)
    yield _table(folder, "preset", ("dtype", "quantization", "kv_cache", "attention", "batch_size"))
    yield _table(folder, "hardware", ("device",))
    yield _first_comments(folder, "experiment")


def _table(folder: Path, group: str, columns: tuple[str, ...]) -> Table:
    table = Table(f"{group}=", *columns, title_justify="left")
    rows = [(name, _content(folder / group / f"{name}.yaml")) for name in choices(group)]
    for name, content in sorted(rows, key=lambda r: (r[1].get("params_b") or 0, r[0])):
        table.add_row(name, *(str(content.get(column, "")) for column in columns))
    return table


def _datasets(folder: Path) -> Iterator[Table | str]:
    table = Table("dataset=", "state", "rows", "protocols", "headline metric", "licence", "hub id")
    contents = {n: _content(folder / "dataset" / f"{n}.yaml") for n in choices("dataset")}
    for name, content in contents.items():
        protocols = content["protocols"]
        headline = protocols[content["protocol"]]["headline"]
        table.add_row(
            name,
            availability.state(content),
            str(content.get("rows", "not stated")),
            ", ".join(f"{k}@{v['version']}" + ("*" if k == content["protocol"] else "") for k, v in protocols.items()),
            "none: speed only" if headline == "score" else headline,
            str(content.get("licence", "unknown")),
            str(content.get("hub_id", "")),
        )
    yield table
    yield "\n".join(availability.notes(contents))


def _content(path: Path) -> dict[str, Any]:
    """A file's content, filled in where it names its own settings; as written where it names what is not there."""
    written = OmegaConf.load(path)
    try:
        return cast(dict[str, Any], OmegaConf.to_container(written, resolve=True))
    except OmegaConfBaseException:
        return cast(dict[str, Any], OmegaConf.to_container(written))


def _first_comments(folder: Path, group: str) -> Table:
    table = Table(f"{group}=", "what it does")
    for name in choices(group):
        lines = (folder / group / f"{name}.yaml").read_text("utf-8").splitlines()
        comments = (line.removeprefix("# ") for line in lines if line.startswith("# ") and "@package" not in line)
        table.add_row(name, next(comments, ""))
    return table
