"""Which settings tell the runs of a sweep apart."""

import pandas as pd

from wattrack.results.columns import param, tag

SWEPT = "wattrack.swept"
"""Tag of a job: the settings that its sweep varied, with commas between them."""
_ALWAYS = ("dataset", "dataset/protocol", "preset", "hardware", "effective/mode", "preset/batch_size")


def varied(runs: pd.DataFrame) -> list[str]:
    """The settings in which these runs differ, but for the model: of the usual ones, and of those that were swept.

    Names are of parameters, without `params.` before them.
    """
    swept = ",".join(runs[tag(SWEPT)].dropna()).split(",") if tag(SWEPT) in runs else []
    names = dict.fromkeys([*_ALWAYS, *(name.replace(".", "/") for name in swept)])
    # A failed job does not know all of them. What was asked for stands as what it came to: `effective/mode`.
    settings = [name for name in names if name not in ("model", "engine/mode") and param(name) in runs]
    return [name for name in settings if runs[param(name)].nunique() > 1]
