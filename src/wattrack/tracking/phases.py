"""The phases of a job as a table: what each cost and peaked at."""

import pandas as pd

from wattrack.schema import Readings, Window


def phases_frame(readings: Readings) -> pd.DataFrame:
    """One row per phase in the order they ran, and the job as a whole: start, length, energy by part, every peak.

    Columns: phase, start_s (since the job began), duration_s, failed; for every part of the machine `<part> J`,
    `<part> source`, `<part> how`; then every peak by its name. None where nothing was measured.
    """
    windows = [*readings.windows, *([readings.job] if readings.job is not None else [])]
    begin_s = min((w.start_s for w in windows), default=0.0)
    rows = [_row(window, begin_s) for window in windows]
    names = dict.fromkeys(name for row in rows for name in row)
    frame = pd.DataFrame(rows, columns=list(names) or ["phase", "start_s", "duration_s", "failed"])
    return frame.astype(object).where(frame.notna(), None)


def _row(window: Window, begin_s: float) -> dict[str, object]:
    row: dict[str, object] = {
        "phase": window.name,
        "start_s": window.start_s - begin_s,
        "duration_s": window.duration_s,
        "failed": window.failed,
    }
    for part, energy in window.energy.items():
        row |= {f"{part} J": energy.joules, f"{part} source": energy.source, f"{part} how": energy.detail}
    return row | dict(sorted(window.peaks.items()))
