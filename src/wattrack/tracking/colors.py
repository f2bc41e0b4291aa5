"""One colour per model, the same in every plot, run and sweep."""

import hashlib
from collections.abc import Iterable

_PALETTE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#332288",
    "#882255",
    "#999933",
    "#44aa99",
    "#661100",
    "#117733",
)
"""Colours that stay apart under colour blindness: Okabe and Ito's without black and yellow, then Tol's muted ones."""

_SALT = 3073
"""Chosen once so that the shipped models all differ."""


def model_color(name: str) -> str:
    """A "#rrggbb" that depends on nothing but the model's name; two of many models may share one."""
    digest = hashlib.sha256(f"{_SALT}:{name}".encode()).digest()
    return _PALETTE[int.from_bytes(digest[:4], "big") % len(_PALETTE)]


def plot_colors(names: Iterable[str]) -> dict[str, str]:
    """`model_color` for each name; where two names of one plot would share theirs, the later gets a free colour."""
    chosen: dict[str, str] = {}
    for name in sorted(set(names)):
        free = [color for color in _PALETTE if color not in chosen.values()]
        wanted = model_color(name)
        chosen[name] = wanted if wanted in free or not free else free[0]
    return chosen
