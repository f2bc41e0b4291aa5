"""Windows, answers and folders of interrupted jobs, for the tests of segments and for the processes they kill."""

from dataclasses import replace
from pathlib import Path

from support import flat_response
from wattrack.job.segments import SegmentLog
from wattrack.journal import Journal
from wattrack.schema import CarbonReading, Energy, Readings, Response, Window

NONE = Energy(joules=None, source="unavailable", detail="no sensor")
CARBON = CarbonReading(
    energy_wh=3.0, cpu_wh=1.0, ram_wh=2.0, gpu_wh=None, duration_s=10.0, cpu_source="modelled",
    gpu_source="unavailable", detail="CPU load model",
)  # fmt: skip


def window(name: str, start_s: float, seconds: float, peak: float = 1.0, **energy: Energy) -> Window:
    return Window(
        name=name, start_s=start_s, end_s=start_s + seconds, start_unix_ms=0, energy=energy,
        peaks={"memory/rss_peak_gib": peak},
    )  # fmt: skip


def joules(value: float, source: str = "measured") -> Energy:
    return Energy(joules=value, source=source)  # type: ignore[arg-type]


LOAD = window("load", 100.0, 2.0, cpu=joules(7.0))
NOW = Readings(
    windows=(LOAD, window("generate", 102.0, 4.0, peak=3.0, cpu=joules(40.0), gpu=NONE)),
    samples=(), carbon=CARBON, unavailable={}, job=window("job", 99.0, 8.0, cpu=joules(60.0)),
)  # fmt: skip


class OpenWindow:
    """A meter in the middle of the generate window."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    def so_far(self, name: str) -> Window | None:
        return self._readings.window(name) if name != "job" else self._readings.job

    def readings(self) -> Readings:
        return replace(self._readings, windows=(LOAD,), job=None)


def answer(number: int, error: str | None = None) -> Response:
    return flat_response(
        sample_id=str(number), repeat=0, text="" if error else "1", finish_reason="error" if error else "stop",
        input_tokens=1, output_tokens=1, error=error,
    )  # fmt: skip


def interrupted(folder: Path, count: int, covered: int) -> SegmentLog:
    written = SegmentLog(folder, "a", "here", OpenWindow(NOW), lambda: 11, None)
    with Journal(folder / "responses.jsonl") as journal:
        for number in range(count):
            journal.append(answer(number, error="too long" if number == 1 else None))
    written.answered(covered)
    written.write()
    return written
