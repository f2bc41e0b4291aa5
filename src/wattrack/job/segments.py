"""The segments of a job: what each process that worked on it measured, on disk while it works; totals are their sums.

An answer counts only where a measured segment covers it. One that came after the last checkpoint of a killed process is
asked again, so that tokens, time and energy always belong to the same work.
"""

import logging
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from wattrack.errors import DatasetError
from wattrack.journal import Journal, read_journal
from wattrack.runs.layout import ANSWERS, SEGMENTS
from wattrack.schema import CarbonReading, Energy, Readings, Response, Window

log = logging.getLogger(__name__)

CHECKPOINT_EVERY_S = 5.0
"""At most this much work of a killed process is lost."""
_SUMMED = "generate"
"""The phase that is summed; the others (load, probe, ...) are properties of the last process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What one process measured, up to its last checkpoint."""

    number: int
    """1 for the first process."""
    run_key: str
    """Of the job: its folder may have been used for another since."""
    machine: str
    """Only segments of the same machine add up."""
    answers: int
    """Lines of the journal that the windows cover."""
    computed_tokens: int
    windows: tuple[Window, ...]
    job: Window | None
    carbon: CarbonReading | None = None
    """None when the process was killed: codecarbon gives its figure at the end only."""

    def window(self, name: str) -> Window | None:
        """The window called `name`, or None."""
        return next((w for w in self.windows if w.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An interrupted run of the same identity: what its processes measured, and the answers not to ask for again."""

    run_id: str
    segments: tuple[Segment, ...]
    responses: tuple[Response, ...]
    """Answers that the segments cover, failed ones left out: those are asked again."""
    journal: Path
    """The file that holds these answers, in the folder of that run."""


_SEGMENT = TypeAdapter(Segment)


def find(folder: Path, run_id: str, run_key: str) -> Earlier | None:
    """What an unfinished job left in its folder; None, with a reason in the log, when that cannot be continued."""
    try:
        path, segments = _segments_of(folder, run_key)
        journal = path.with_name(path.name.replace("segments", "responses"))
        answers = read_journal(journal) if segments else []
    except DatasetError as e:
        log.warning("run %s is not continued: %s", run_id, e)
        return None
    if not segments:
        return None
    covered = tuple(r for r in answers[: segments[-1].answers] if r.error is None)
    return Earlier(run_id=run_id, segments=segments, responses=covered, journal=journal)


def of_machine(candidates: Sequence[Earlier], machine: str) -> Earlier | None:
    """The first of them that this machine measured: time and energy of another do not add up with ours."""
    for earlier in candidates:
        if all(s.machine == machine for s in earlier.segments):
            return earlier
        other = earlier.segments[-1].machine
        log.warning("run %s is not continued: it was measured on other hardware (%s)", earlier.run_id, other)
    return None


def _segments_of(folder: Path, run_key: str) -> tuple[Path, tuple[Segment, ...]]:
    """The latest file with that job's segments, also where another job has used the folder since, and what it holds."""
    aside = sorted(folder.glob("segments.[0-9]*.jsonl"), key=lambda p: int(p.name.split(".")[1]), reverse=True)
    for path in (folder / SEGMENTS, *aside):
        if (segments := read(path)) and segments[-1].run_key == run_key:
            return path, segments
    return folder / SEGMENTS, ()


def open_journal(folder: Path, earlier: Earlier | None) -> Journal:
    """The journal of this process, begun with the answers that are carried; to be followed by its `SegmentLog`.

    What another job left in the folder is kept beside it. At every moment either the files that were there or the new
    ones hold all that was finished.
    """
    path = folder / ANSWERS
    if earlier is None or not path.is_file() or not path.samefile(earlier.journal):
        _set_aside(folder)
    return Journal(path, earlier.responses if earlier is not None else ())


def _set_aside(folder: Path) -> None:
    number = next(n for n in count(1) if not (folder / f"responses.{n}.jsonl").exists())
    if (folder / ANSWERS).is_file():
        kept = shutil.copyfile(folder / ANSWERS, folder / f"responses.{number}.jsonl")
        log.warning("%s held the answers of another job: they are kept in %s", folder, kept.name)
    if (folder / SEGMENTS).is_file():  # last: in this one step the numbered two become the pair that `find` takes
        (folder / SEGMENTS).rename(folder / f"segments.{number}.jsonl")


def read(path: Path) -> tuple[Segment, ...]:
    """The latest state of every segment in order; empty without a file, and a line cut by a crash is dropped.

    A line that is only a number says how many answers the segment before it covers by now.

    Raises:
        DatasetError: a complete line is damaged.
    """
    if not path.is_file():
        return ()
    found: dict[int, Segment] = {}
    *lines, _ = path.read_bytes().split(b"\n")
    segment: Segment | None = None
    for number, line in enumerate(lines, start=1):
        try:
            if segment is not None and line.isdigit():
                segment = replace(segment, answers=int(line))
            else:
                segment = _SEGMENT.validate_json(line)
        except ValidationError as e:
            raise DatasetError(f"{path}:{number}: not a segment ({e.error_count()} problems)") from e
        found[segment.number] = segment
    return tuple(found[number] for number in sorted(found))


class Measuring(Protocol):
    """The part of the meter that a segment needs."""

    def so_far(self, name: str) -> Window | None:
        """The open window up to now, or None."""

    def readings(self) -> Readings:
        """Everything seen so far."""


class SegmentLog:
    """Writes this process's segment, after those it continues, into the job's folder."""

    def __init__(
        self,
        folder: Path,
        run_key: str,
        machine: str,
        meter: Measuring,
        computed: Callable[[], int],
        earlier: Earlier | None,
    ) -> None:
        """`computed` gives the token positions computed in the generate window. Comes after `open_journal`."""
        before = earlier.segments if earlier is not None else ()
        self._path = folder / SEGMENTS
        self._run_key, self._machine = run_key, machine
        self._meter, self._computed = meter, computed
        self._number = len(before) + 1
        self._carried = self._answers = len(earlier.responses) if earlier is not None else 0
        self._due_s = time.perf_counter() + CHECKPOINT_EVERY_S
        self._covered_tokens: int | None = None
        anew = folder / f"{SEGMENTS}.new"
        anew.write_bytes(b"".join(_SEGMENT.dump_json(s) + b"\n" for s in before))
        anew.replace(self._path)
        self.write()

    def answered(self, count: int) -> None:
        """Note that this process has `count` answers on disk; a checkpoint is written when one is due.

        Rows that finish together are answered one after the other. The checkpoint at the first holds the time and
        energy of all: those that follow before anything more was computed are covered by it.
        """
        self._answers = self._carried + count
        if time.perf_counter() >= self._due_s:
            self.write()
            self._due_s = time.perf_counter() + CHECKPOINT_EVERY_S
            self._covered_tokens = self._computed()
        elif self._computed() == self._covered_tokens:
            self._append(b"%d" % self._answers)

    def write(self, carbon: CarbonReading | None = None) -> None:
        """One line with everything so far."""
        readings = self._meter.readings()
        open_window = self._meter.so_far(_SUMMED)
        segment = Segment(
            number=self._number,
            run_key=self._run_key,
            machine=self._machine,
            answers=self._answers,
            computed_tokens=self._computed(),
            windows=(*readings.windows, *([open_window] if open_window is not None else [])),
            job=readings.job or self._meter.so_far("job"),
            carbon=carbon,
        )
        self._append(_SEGMENT.dump_json(segment))

    def _append(self, line: bytes) -> None:
        with self._path.open("ab") as file:
            file.write(line + b"\n")


def total(readings: Readings, earlier: Sequence[Segment]) -> Readings:
    """This process's readings with the generate window, the job and codecarbon summed over all segments."""
    if not earlier:
        return readings
    generates = [w for s in earlier if (w := s.window(_SUMMED)) is not None]
    generates += [w for w in readings.windows if w.name == _SUMMED]
    generate = _sum(generates)
    others = tuple(w for w in readings.windows if w.name != _SUMMED)
    jobs = [w for w in (*(s.job for s in earlier), readings.job) if w is not None]
    carbons = [*(s.carbon for s in earlier), readings.carbon]
    known = [c for c in carbons if c is not None]
    missing = {} if len(known) == len(carbons) else {"codecarbon total": "a process was killed before it gave a figure"}
    if lost := {name for w in generates for name in w.peaks}.difference(generate.peaks if generate else ()):
        missing["peaks"] = f"{', '.join(sorted(lost))}: a process was killed before it could tell"
    return replace(
        readings,
        windows=tuple(sorted((*others, *([generate] if generate else [])), key=lambda w: w.start_s)),
        job=_sum(jobs),
        carbon=_sum_carbon(known) if len(known) == len(carbons) else None,
        unavailable={**readings.unavailable, **missing},
    )


def _sum(windows: Sequence[Window]) -> Window | None:
    """The last window with the lengths, energies and peaks of all; a peak that one does not know is unknown."""
    if not windows:
        return None
    *before, last = windows
    parts = dict.fromkeys(part for w in windows for part in w.energy)
    known = [name for name in last.peaks if all(name in w.peaks for w in before)]
    return replace(
        last,
        earlier_s=math.fsum([last.earlier_s, *(w.duration_s for w in before)]),
        energy={part: _sum_energy([w.energy.get(part) for w in windows]) for part in parts},
        peaks={name: max(w.peaks[name] for w in windows) for name in known},
    )


def _sum_energy(parts: Sequence[Energy | None]) -> Energy:
    """One unknown makes the sum unknown; sampled and measured together are sampled."""
    for number, part in enumerate(parts, start=1):
        if part is None or part.joules is None:
            why = part.detail if part is not None else "not read"
            flags = tuple(dict.fromkeys(flag for p in parts if p is not None for flag in p.flags))
            return Energy(joules=None, source="unavailable", detail=f"segment {number}: {why}", flags=flags)
    known = [part for part in parts if part is not None]
    return replace(
        known[-1],
        joules=math.fsum(part.joules or 0.0 for part in known),
        source="sampled" if any(part.source == "sampled" for part in known) else known[-1].source,
        detail=f"sum of {len(known)} segments; the last: {known[-1].detail}",
        bound_j=_sum_known([part.bound_j for part in known]),
        cross_check_j=_sum_known([part.cross_check_j for part in known]),
        flags=tuple(dict.fromkeys(flag for part in known for flag in part.flags)),
    )


def _sum_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) if len(known) == len(values) else None


def _sum_carbon(readings: Sequence[CarbonReading]) -> CarbonReading:
    last = readings[-1]
    gpu = [r.gpu_wh for r in readings]
    return replace(
        last,
        energy_wh=math.fsum(r.energy_wh for r in readings),
        cpu_wh=math.fsum(r.cpu_wh for r in readings),
        ram_wh=math.fsum(r.ram_wh for r in readings),
        gpu_wh=None if None in gpu else math.fsum(wh for wh in gpu if wh is not None),
        duration_s=math.fsum(r.duration_s for r in readings),
        cpu_source=last.cpu_source if len({r.cpu_source for r in readings}) == 1 else "modelled",
        gpu_source=last.gpu_source if len({r.gpu_source for r in readings}) == 1 else "unavailable",
        flags=tuple(dict.fromkeys(flag for r in readings for flag in r.flags)),
    )
