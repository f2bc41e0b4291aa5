"""The runs of a sweep by what they were asked: scores of different questions or protocols are never ranked together."""

from collections.abc import Hashable
from dataclasses import dataclass

import pandas as pd

from wattrack.results.columns import param, tag
from wattrack.results.varied import varied

DIGEST, PROTOCOL = tag("wattrack.dataset_digest"), tag("wattrack.protocol")
"""What a run that has read its questions says of them."""
_ASKED = ("dataset", "dataset/protocol", "limit", "seed", "repeats")
"""What a job that failed before it read its questions says of them."""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Runs that were asked the same questions by the same protocol."""

    name: str
    """What they were asked, in words that tell this set from the sweep's others."""
    runs: pd.DataFrame


def by_questions(runs: pd.DataFrame) -> list[QuestionSet]:
    """The sets in the order of their first runs.

    A run without questions, because it failed too early, is in the set of the same dataset, protocol and limit.

    Args:
        runs: as `Tracker.load_runs` returns them.
    """
    members: dict[Hashable, list[int]] = {}
    key_of_asked: dict[Hashable, Hashable] = {}
    rows = [{str(key): value for key, value in run.items()} for run in runs.to_dict("records")]
    asked = [tuple(str(row.get(param(name), "")) for name in _ASKED) for row in rows]
    keys = [(row[DIGEST], row.get(PROTOCOL)) if isinstance(row.get(DIGEST), str) else None for row in rows]
    for key, settings in zip(keys, asked, strict=True):
        if key is not None:
            key_of_asked.setdefault(settings, key)
    for place, (key, settings) in enumerate(zip(keys, asked, strict=True)):
        members.setdefault(key or key_of_asked.get(settings, settings[:2]), []).append(place)
    sets = [runs.iloc[places].reset_index(drop=True) for places in members.values()]
    names = [_name(some, runs) for some in sets]
    return [
        QuestionSet(name if names.count(name) == 1 else f"{name}, {_digest(some)}", some)
        for name, some in zip(names, sets, strict=True)
    ]


def _name(some: pd.DataFrame, runs: pd.DataFrame) -> str:
    """Dataset, protocol, and other settings in which these runs agree and the sweep's others differ."""
    within, others = varied(some), varied(runs)
    told = [*_ASKED[:2], *(name for name in others if name in _ASKED[2:] and name not in within)]
    values = [(name, some[param(name)].dropna()) for name in told if param(name) in some]
    return ", ".join(
        str(known.iloc[0]) if name in _ASKED[:2] else f"{name} {known.iloc[0]}"
        for name, known in values
        if not known.empty
    )


def _digest(some: pd.DataFrame) -> str:
    known = some[DIGEST].dropna() if DIGEST in some else pd.Series(dtype=object)
    return f"rows {str(known.iloc[0])[:8]}" if not known.empty else "rows not read"
