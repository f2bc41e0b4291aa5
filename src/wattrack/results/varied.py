"""Which settings tell the runs of a sweep apart."""

import pandas as pd

SWEPT = "wattrack.swept"
"""Tag of a job: the settings that its sweep varied, with commas between them."""
_ALWAYS = ("dataset", "dataset/protocol", "preset", "hardware", "effective/mode", "preset/batch_size")


def varied(runs: pd.DataFrame) -> list[str]:
    """The settings in which these runs differ, but for the model: of the usual ones, and of those that were swept."""
    swept = ",".join(runs[SWEPT].dropna()).split(",") if SWEPT in runs else []
    names = dict.fromkeys([*_ALWAYS, *(name.replace(".", "/") for name in swept)])
    # A failed job does not know all of them. What was asked for stands as what it came to: `effective/mode`.
    return [n for n in names if n in runs and n not in ("model", "engine/mode") and runs[n].nunique() > 1]
