"""The measured phases of a job, under its meters: load, warm up, generate, probe, score."""

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace

from rich.console import Console

from wattrack import environment
from wattrack.facts import EngineFacts
from wattrack.job import grading, loop, segments
from wattrack.job.plan import Plan
from wattrack.job.segments import Earlier, SegmentLog
from wattrack.progress import JobProgress
from wattrack.results.footprint import without_gpu, without_machine
from wattrack.results.summary import grammar, unscored_records
from wattrack.runs.manifest import Measurement
from wattrack.runs.write import Measured
from wattrack.schema import ChoiceRequest, Readings, Record, Request, Response
from wattrack.tasks.task import Questions


def measure(
    plan: Plan, questions: Questions, console: Console, run_key: str, candidates: Sequence[Earlier]
) -> Measured:
    """Every phase under the meters; whatever happens, meters and engine are closed and finished answers are on disk.

    Args:
        run_key: of the job, known before anything is loaded.
        candidates: what interrupted runs of that key left, the latest first; one of this machine is continued.
    """
    engine, meter = plan.engine, plan.meter
    openings = loop.openings(questions.requests)
    _prepare(plan, loop.foreseen(questions.requests))
    started_s = time.perf_counter()
    probed = openings[:: plan.cfg.repeats][: plan.cfg.probe_questions]
    with ExitStack() as stack:
        stack.callback(engine.close)
        plan.carbon.open()
        stack.callback(plan.carbon.close)
        when_meter_closed = stack.enter_context(ExitStack())
        stack.enter_context(meter)
        throughput = Throughput(plan, questions, console, run_key, candidates)
        when_meter_closed.callback(throughput.close)
        if plan.cfg.hardware.idle_s > 0:
            with meter.window("idle"):
                time.sleep(plan.cfg.hardware.idle_s)
        with meter.window("load"):
            engine.load()
        if (synchronize := engine.capabilities.synchronize) is not None:
            meter.synchronize = synchronize
        loop.warm_up(engine, openings, meter)
        responses = throughput.generate()
        probe = loop.latency_probe(engine, probed, meter)
        records = _score(plan, questions, responses)
        total_s = time.perf_counter() - started_s
        facts, hardware = throughput.facts(engine.facts()), meter.facts()
    before = throughput.earlier.segments if throughput.earlier is not None else ()
    readings, points = segments.total(_with_carbon(plan), before), throughput.energy_points()
    if facts.where == "elsewhere":
        readings, points = without_machine(readings), []
    elif facts.on == "cpu" and "gpu.count" in hardware:
        readings, points = without_gpu(readings), []
    return Measured(
        records=records,
        probe=tuple(probe),
        readings=readings,
        measurement=Measurement(
            engine=facts,
            facts=_facts(plan),
            computed_tokens=throughput.computed_tokens() + sum(s.computed_tokens for s in before),
            hardware=hardware,
            total_s=total_s + math.fsum(s.job.duration_s for s in before if s.job is not None),
            energy_points=tuple(points),
            aggregates=_aggregates(plan, questions, records),
            references=grading.references(questions.samples, plan.task.score),
            segments=len(before) + 1,
            continues=throughput.earlier.run_id if throughput.earlier is not None else None,
        ),
    )


def _aggregates(plan: Plan, questions: Questions, records: Sequence[Record]) -> dict[str, float | None]:
    """Metrics of all records together, by bare name; of answers that may not be scored none."""
    if plan.random_weights:
        return {}
    whole = {name.removeprefix("quality/"): value for name, value in grammar(questions.requests, records).items()}
    return whole | dict(plan.task.aggregate(records) if plan.task.aggregate is not None else {})


def _score(plan: Plan, questions: Questions, responses: Sequence[Response]) -> tuple[Record, ...]:
    """Every answer graded; those of random weights get no grade, whatever they say."""
    sandbox = plan.task.sandbox
    workers = sandbox.workers if sandbox is not None else 1
    records = grading.score_all(questions.samples, responses, plan.task.score, plan.meter, workers)
    return unscored_records(records) if plan.random_weights else records


def _facts(plan: Plan) -> dict[str, object]:
    sandbox = plan.task.sandbox
    isolation = {"sandbox/isolation": sandbox.isolation} if sandbox is not None else {}
    return {"meter/sampler_cpu_s": round(plan.meter.overhead_s, 3), **isolation}


class Throughput:
    """The throughput phase: what was done before, the live line, the running energy, the checkpoints."""

    def __init__(
        self, plan: Plan, questions: Questions, console: Console, run_key: str, candidates: Sequence[Earlier]
    ) -> None:
        """The meter is open: the machine is known, and with it whether there is something to continue."""
        self._plan, self._questions, self._console, self._run_key = plan, questions, console, run_key
        self._machine = _machine(plan.meter.facts())
        self.earlier = segments.of_machine(candidates, self._machine)
        self._points: list[tuple[int, int, float]] = []
        self._segment: SegmentLog | None = None
        self._answered = self._computed_before = self._shared_before = 0
        self._computed: int | None = None  # as it was when the generate window closed
        self._facts: EngineFacts | None = None

    def computed_tokens(self) -> int:
        """Token positions that this process computed in the throughput phase, so far or, after it, in all."""
        if self._computed is not None:
            return self._computed
        return self._plan.engine.computed_tokens - self._computed_before

    def generate(self) -> list[Response]:
        """Answers to every request, in request order."""
        plan, requests = self._plan, self._questions.requests
        self._shared_before = plan.engine.facts().shared_tokens or 0
        self._computed_before = plan.engine.computed_tokens
        carried = self.earlier.responses if self.earlier is not None else ()
        if self.earlier is not None:
            done = f"{len(carried)} of {len(requests)} answers are there, of {len(self.earlier.segments)} segment(s)"
            self._console.print(f"continuing run {self.earlier.run_id}: {done} (resume=never starts afresh)")
        with (
            segments.open_journal(plan.output_dir, self.earlier) as journal,
            JobProgress(self._console, plan.name, len(requests) - len(carried), self._live_score()) as progress,
        ):
            self._segment = SegmentLog(
                plan.output_dir, self._run_key, self._machine, plan.meter, self.computed_tokens, self.earlier
            )
            try:
                responses = loop.collect(
                    plan.engine, requests, plan.meter, journal, lambda r: self._on_response(r, progress), carried
                )
            finally:  # the probe computes too, and what the segment says is written after it
                self._computed = self.computed_tokens()
        self._facts = plan.engine.facts()
        return responses

    def facts(self, last: EngineFacts) -> EngineFacts:
        """`last` with what is about this phase as it was at its end; the probe's single requests have changed that."""
        assert self._facts is not None, "generate comes first"
        shared = self._facts.shared_tokens
        return replace(
            last,
            rows=self._facts.rows,
            vram_predicted_gib=self._facts.vram_predicted_gib,
            rss_predicted_gib=self._facts.rss_predicted_gib,
            shared_tokens=None if shared is None else shared - self._shared_before,
        )

    def energy_points(self) -> list[tuple[int, int, float]]:
        """(answers, unix ms, joules) while this process generated, counted from the first segment on."""
        before = self.earlier.segments if self.earlier is not None else ()
        carried = len(self.earlier.responses) if self.earlier is not None else 0
        windows = [w for s in before if (w := s.window("generate")) is not None]
        joules = math.fsum(e.joules or 0.0 for w in windows for e in w.energy.values())
        return [(carried + done, unix_ms, joules + j) for done, unix_ms, j in self._points]

    def close(self) -> None:
        """Write what this process measured, however it ended."""
        carbon = self._plan.carbon.close()
        if self._segment is not None:
            self._segment.write(carbon)

    def _live_score(self) -> Callable[[Response], float]:
        plan, samples = self._plan, {s.id: s for s in self._questions.samples}
        if plan.random_weights or not plan.task.live_score:
            return lambda response: math.nan
        return lambda response: plan.task.score(samples[response.sample_id], response).value

    def _on_response(self, response: Response, progress: JobProgress) -> None:
        progress(response)
        self._answered += 1
        if self._segment is not None:
            self._segment.answered(self._answered)
        joules = self._plan.meter.energy_so_far_j("generate")
        if joules is not None:
            self._points.append((self._answered, loop.now_unix_ms(), joules))


def _machine(hardware: Mapping[str, str]) -> str:
    """What must be the same for two processes' time and energy to be added."""
    facts = environment.describe()
    names = (facts.get("env.hostname"), facts.get("env.cpu_model"), hardware.get("gpu.name"), hardware.get("gpu.count"))
    return ", ".join(str(name) for name in names if name)


def _prepare(plan: Plan, requests: Sequence[Request | ChoiceRequest]) -> None:
    """What only the first job of a process pays for, done before any window opens."""
    # codecarbon waits for other programs while it looks at the processor: beside the imports that costs nothing.
    with ThreadPoolExecutor(1) as beside:
        probing = beside.submit(plan.carbon.prepare)
        if (prepare := plan.engine.capabilities.prepare) is not None:
            prepare(requests)
        # What logging imports as well: otherwise later jobs of a sweep start with more resident memory.
        from wattrack.tracking import job_plots  # noqa: F401

        probing.result()
    if not gc.isenabled():  # as `cli.run` left it: the imported modules stay, so nothing need walk over them again
        gc.freeze()
        gc.enable()


def _with_carbon(plan: Plan) -> Readings:
    readings, carbon = plan.meter.readings(), plan.carbon
    missing = {"codecarbon": carbon.reason} if carbon.reason is not None else {}
    return replace(readings, carbon=carbon.close(), unavailable={**readings.unavailable, **missing})
