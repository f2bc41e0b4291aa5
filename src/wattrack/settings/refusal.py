"""Composition errors in the user's words: which key, what came, what the choices are."""

import dataclasses
import re
from pathlib import Path

from wattrack import places
from wattrack.settings.config import Config
from wattrack.settings.former import moved
from wattrack.settings.guess import guess


def refusal(error: BaseException) -> str:
    """One or two lines for a composition error of Hydra or OmegaConf."""
    text = _messages(error)
    if match := re.search(r"Could not find '(?P<group>[\w/]+)/(?P<name>[^']+)'", text):
        return _unknown_choice(match["group"], match["name"])
    if match := re.search(r"Could not override '(?P<group>[\w/@]+)'.*No match in the defaults list", text, re.DOTALL):
        return unknown_key(match["group"])
    if match := re.search(r"Key '(?P<leaf>[^']+)' (?:is not in struct|not in '\w+')\s+full_key: (?P<key>\S+)", text):
        return unknown_key(match["key"])
    if match := re.search(r"(?P<what>(?:Value|Invalid value) .+?)\s+full_key: (?P<key>\S+)", text, re.DOTALL):
        return f"{match['key']}: {_plain(match['what'])}"
    if match := re.search(r"Environment variable '(?P<name>\w+)' not found", text):
        return f"the environment variable {match['name']} is not set"
    return text.splitlines()[0]


def _messages(error: BaseException) -> str:
    """The error and its causes, innermost last: Hydra wraps the one that names the key."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None:
        parts.append(str(current))
        current = current.__cause__
    return "\n".join(parts)


def _plain(message: str) -> str:
    found = re.match(r"Value '(.*)' of type '\w+' could not be converted to (\w+)", message)
    if found:
        kind = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}.get(found[2], found[2])
        return f"expected {kind}, got {found[1]!r}"
    found = re.match(r"Invalid value '(.*)', expected one of \[(.*)\]", message)
    return f"expected one of {found[2]}, got {found[1]!r}" if found else " ".join(message.split())


def _unknown_choice(group: str, name: str) -> str:
    known = choices(group)
    return f"{group}={name}: there is no such {group}{guess(name, known)}. There are: {', '.join(known)}"


def unknown_key(key: str) -> str:
    """One line about a setting that there is not: what was meant, where it went, or what there is."""
    *parents, leaf = key.split(".")
    if len(parents) == 3 and parents[:2] == ["dataset", "protocols"] and (place := moved(leaf)) is not None:
        return f"{key}: is dataset.protocols.{parents[2]}.{place} now; what asks, and all its settings, are in `prompt`"
    known = _siblings(parents)
    where = f"{'.'.join(parents)} has" if parents else "The settings are"
    listed = f" {where}: {', '.join(known)}" if known else ""
    return f"{key}: there is no such setting{guess(leaf, known)}.{listed}"


def _siblings(parents: list[str]) -> list[str]:
    """The keys beside the unknown one, where the schema lists them; plug-ins and protocols are open."""
    kind: object = Config
    for name in parents:
        assert isinstance(kind, type)
        kind = {f.name: f.type for f in dataclasses.fields(kind)}.get(name)
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            return []
    assert isinstance(kind, type)
    return sorted(f.name for f in dataclasses.fields(kind))


def choices(group: str, folder: Path | None = None) -> list[str]:
    """The names that can stand after `group=`."""
    return sorted(p.stem for p in ((folder or places.conf_dir()) / group).glob("*.yaml"))
