"""Settings, tags and dataset facts in the form and within the limits that MLflow accepts. Pure."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from wattrack.schema import DatasetFacts

PARAM_CHARS = 500
"""Longer values are cut; the complete configuration is an artifact."""
TAG_CHARS = 8000
NAME_CHARS = 250
DIGEST_CHARS = 12
"""MLflow takes 36; the UI repeats it in every column head, and the tag wattrack.dataset_digest has all of it."""


def entry_name(name: str) -> str:
    """`name` with what MLflow refuses in names replaced: "gen/pass@1" becomes "gen/pass_1"."""
    allowed = re.sub(r"[^\w\-. :/]", "_", name)
    parts = [part for part in allowed.split("/") if part not in ("", ".", "..")]
    return "/".join(parts)[:NAME_CHARS] or "_"


def param_values(params: Mapping[str, object]) -> dict[str, str]:
    """Values as text; None as "null" and nested values as JSON, as the configuration writes them."""
    return {entry_name(name): cut(_text(value), PARAM_CHARS) for name, value in params.items()}


def tag_values(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags with acceptable names and lengths."""
    return {entry_name(name): cut(str(value), TAG_CHARS) for name, value in tags.items()}


def cut(text: str, limit_chars: int) -> str:
    """At most `limit_chars` characters, the last one an ellipsis when something is missing."""
    return text if len(text) <= limit_chars else text[: limit_chars - 1] + "…"


def new_params(logged: Mapping[str, str], learnt: Mapping[str, str]) -> dict[str, str]:
    """The params that may still be written: MLflow refuses to change one.

    A setting whose effective value turned out differently keeps what was asked for, and gets
    `effective/<name>` beside it.
    """
    fresh: dict[str, str] = {}
    for name, value in learnt.items():
        if name not in logged:
            fresh[name] = value
        elif logged[name] != value and f"effective/{name}" not in logged:
            fresh[f"effective/{name}"] = value
    return fresh


def dataset_entry(facts: DatasetFacts) -> dict[str, str]:
    """Name, digest and source of the rows, as the fields of MLflow's `Dataset`.

    The UI shows name and digest: two runs with the same pair saw the same questions.
    """
    of = f"{facts.name}/{facts.config}" if facts.config and facts.config != facts.name else facts.name
    if facts.revision is not None:
        kind = "hugging_face"
        source: dict[str, object] = {
            "path": facts.source,
            "config_name": facts.config,
            "split": facts.split,
            "revision": facts.revision,
        }
    elif Path(facts.source).exists():
        kind, source = "local", {"uri": facts.source}
    else:
        kind, source = "code", {"tags": {"source": facts.source}}
    return {
        "name": f"{of}:{facts.split}[:{facts.rows}]",
        "digest": facts.digest[:DIGEST_CHARS],
        "source_type": kind,
        "source": json.dumps(source),
    }


def _text(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)
