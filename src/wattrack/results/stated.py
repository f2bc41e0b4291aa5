"""Values in a tag: JSON, so that no value can be taken for the mark between two. Pure."""

import json
from collections.abc import Mapping, Sequence


def as_tag(values: Mapping[str, object] | Sequence[str]) -> str:
    """The values as a tag's text; what is no number or truth is written as its text."""
    return json.dumps(values, ensure_ascii=False, default=str)


def values_of(tag: object) -> dict[str, object]:
    """What a tag states, by name; nothing for a run without the tag. Version 0.1 wrote "name=value, name=value"."""
    if not isinstance(tag, str) or not tag:
        return {}
    if tag.startswith("{"):
        found: dict[str, object] = json.loads(tag)
        return found
    pairs = (part.partition("=") for part in tag.split(", "))
    return {name: value for name, _, value in pairs}


def names_of(tag: object) -> list[str]:
    """What a tag lists; nothing for a run without the tag."""
    if not isinstance(tag, str) or not tag:
        return []
    if not tag.startswith("["):
        return tag.split(", ")
    found: list[str] = json.loads(tag)
    return found
