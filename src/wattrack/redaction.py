"""Settings without secrets: what may be logged, where everyone with access to the store can read it. Pure."""

import re
from collections.abc import Iterable
from typing import Any

_USER_INFO = re.compile(r"(?<=://)[^/\s]+@")
_SECRET_KEY = re.compile(r"(^|_)(token|secret|password|api_key)$", re.IGNORECASE)
_SECRET_INSIDE = re.compile(r"\b((?:\w+_)?(?:token|secret|password|api_key))\s*:\s*[^,}\]]+", re.IGNORECASE)
HIDDEN = "***"


def redacted(value: Any, key: str = "") -> Any:
    """A copy of nested settings: credentials in addresses and values of keys that name a secret become `***`."""
    if isinstance(value, dict):
        return {k: redacted(v, str(k)) for k, v in value.items()}
    if isinstance(value, list):
        return [redacted(item, key) for item in value]
    if isinstance(value, str):
        return HIDDEN if value and _SECRET_KEY.search(key) else _USER_INFO.sub(f"{HIDDEN}@", value)
    return value


def redacted_overrides(texts: Iterable[str]) -> tuple[str, ...]:
    """A command line's `key=value` settings without secrets."""
    return tuple(_redacted_override(*text.partition("=")) for text in texts)


def _redacted_override(key: str, sign: str, value: str) -> str:
    shown = redacted(value, key.lstrip("+~").rpartition(".")[2])
    return f"{key}{sign}{_SECRET_INSIDE.sub(lambda found: f'{found[1]}:{HIDDEN}', shown)}"


def without_credentials(uri: str) -> str:
    """An address to show and to open, without user and password."""
    return _USER_INFO.sub("", uri)
