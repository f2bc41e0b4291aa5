"""Nested settings as one level of names."""

from collections.abc import Mapping


def flatten(value: Mapping[str, object], prefix: str = "", separator: str = "/") -> dict[str, object]:
    """Nested mappings as one level with names joined by `separator`; lists stay values."""
    flat: dict[str, object] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping):
            flat |= flatten(item, f"{name}{separator}", separator)
        else:
            flat[name] = item
    return flat
