"""Stored answers under today's scorer, without a model; a new MLflow run, linked to the old, if anything differs."""

import math
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from wattrack import places
from wattrack.errors import ConfigError, DatasetError, ScoringError
from wattrack.job import grading
from wattrack.job.identity import job_name, rescored_key
from wattrack.job.main import job_start
from wattrack.rescoring.embedder import Embedder
from wattrack.rescoring.judging import Judged, judge
from wattrack.rescoring.scoring import settings_now
from wattrack.rescoring.similarity import Compared, compare, require_references
from wattrack.rescoring.verdict import Regrading, run_id, tell, verdict_of
from wattrack.results.description import too_few
from wattrack.results.job_result import UNSCORED
from wattrack.results.tables import score
from wattrack.runs.layout import ANSWERS
from wattrack.runs.manifest import Identity, Settled
from wattrack.runs.merge import merged
from wattrack.runs.read import Run
from wattrack.runs.write import RunFolder
from wattrack.schema import Readings, Response
from wattrack.settings import build, checks
from wattrack.tasks.task import Questions, Task
from wattrack.tracking.delivery import deliver, open_tracker, working
from wattrack.tracking.fetch import fetched
from wattrack.tracking.store import Tracker, ensure_store, store_uri


def rescore(runs: Sequence[str], overrides: Sequence[str], console: Console) -> str | None:
    """Score the answers of a job again; returns the id of the new run, or None when nothing differs.

    Args:
        runs: a job's output folder, or its MLflow run id; several are parts of one run, whose answers are put together.
        overrides: Hydra overrides of the scoring settings, or of those that touch neither answers nor rows (`_TAKEN` in
            scoring.py).

    Raises:
        ConfigError, DatasetError: refused: no such job, other rows, answers missing, random weights.
        ScoringError: the scorer failed.
        TrackingError: the new run cannot be logged.
    """
    uri = next((text.split("=", 1)[1] for text in overrides if text.startswith("tracking.uri=")), None)
    store = _store(uri)
    with ExitStack() as stack:
        job = stack.enter_context(merged([stack.enter_context(fetched(run, store)) for run in runs]))
        if str(job.cfg.model.weights) == "random":
            raise ConfigError(f"run {run_id(job)} has random weights: there is nothing to score")
        cfg = settings_now(job.cfg, overrides)
        checks.check(cfg)
        task = build.task(cfg)
        if task.sandbox is not None:
            task.sandbox.require()
        questions = _same_questions(job, task, cfg)
        folder = _new_folder(cfg)
        embedder = _embedder(task, questions, cfg)
        graded = _graded(job, task, questions, cfg, folder, console)
        compared = (
            None if embedder is None else compare(embedder, questions.samples, _answers(job, questions), graded.records)
        )
        verdict = verdict_of(job, task, questions, cfg, graded, compared)
        tell(console, job, verdict, whole=len(runs) == 1)
        if len(runs) == 1 and not verdict.changed and not verdict.settings:
            return None
        return _log(job, cfg, questions, verdict, folder, console)


def _store(uri: str | None) -> Tracker:
    found = store_uri(uri, places.root())
    ensure_store(found)
    return Tracker(found, None)


def _same_questions(job: Run, task: Task, cfg: DictConfig) -> Questions:
    """What was asked, read again; DatasetError when rows or prompt differ or an answer is missing."""
    questions = task.questions(cfg.limit, cfg.seed, cfg.repeats)
    asked = job.manifest.identity
    if asked is None:
        raise ConfigError(f"{job.shown}: it does not say which rows were asked, so they cannot be compared")
    before, now = asked.dataset.digest, questions.facts.digest
    if before != now:
        raise DatasetError(f"the rows are not those that were asked: digest {before} then, {now} now")
    answered, now = asked.prompt_sha256, questions.prompt.sha256()
    if answered is not None and answered != now:
        raise DatasetError(
            f"the prompt is not the one that was answered: hash {answered} then, {now} now; run it again"
        )
    missing = [r for r in questions.requests if (r.sample_id, r.repeat) not in job.responses]
    if missing:
        there, planned = len(questions.requests) - len(missing), len(questions.requests)
        raise DatasetError(
            f"{job.folder / 'responses.jsonl'} holds {there} of {planned} answers: run the job again, which continues "
            "an interrupted one"
        )
    return questions


def _embedder(task: Task, questions: Questions, cfg: DictConfig) -> Embedder | None:
    """What answers are compared with references by, found but not loaded; None where none is named."""
    if cfg.similarity.model_id is None:
        return None
    require_references(task.protocol, task.text_reference, questions.samples)
    wanted = cfg.similarity
    embedder = Embedder(model_id=wanted.model_id, revision=wanted.revision, device=str(cfg.hardware.device))
    embedder.check()
    return embedder


def _answers(job: Run, questions: Questions) -> list[Response]:
    return [job.responses[r.sample_id, r.repeat] for r in questions.requests]


def _graded(job: Run, task: Task, questions: Questions, cfg: DictConfig, folder: Path, console: Console) -> Judged:
    """The answers graded, by the scorer or by the judge."""
    responses = _answers(job, questions)
    if cfg.judge.model_id is not None:
        engine = build.judge(cfg)
        assert task.judging is not None
        engine.check()
        folder.mkdir(parents=True)
        return judge(engine, task.judging, questions.samples, responses, folder, console)
    workers = task.sandbox.workers if task.sandbox is not None else 1
    try:
        return Judged(records=grading.records(questions.samples, responses, task.score, workers), revision=None)
    except Exception as e:
        raise ScoringError(f"the scorer of {task.protocol} failed: {type(e).__name__}: {e}") from e


def _new_folder(cfg: DictConfig) -> Path:
    """Where the new run's files go; not made yet."""
    moment = f"{time.strftime('%Y-%m-%d/%H-%M-%S')}-{time.time_ns() // 1000 % 1_000_000:06d}"
    return places.root() / "multirun" / f"{moment}_{cfg.model.name}_{cfg.dataset.name}_rescored"


def _log(job: Run, cfg: DictConfig, questions: Questions, verdict: Regrading, folder: Path, console: Console) -> str:
    """Write folder and run as a job does; returns the run's id."""
    name = cfg.name or f"{job_name(cfg)} · rescored"
    start = job_start(cfg, name, folder, {"wattrack.rescored_from": run_id(job)})
    tracker = open_tracker(cfg)
    run = RunFolder.begin(start)
    shutil.copyfile(job.folder / ANSWERS, folder / ANSWERS)
    with working(run, tracker, start, console) as new_id:
        identity, settled, readings = _settled(job, cfg, name, questions, verdict)
        run.identified(identity)
        run.write_parts(verdict.records, (), readings)
        run.settled(settled)
        deliver(run, tracker)
    console.print(f"logged as run {new_id}, in {_shown(folder)}", markup=False, highlight=False, soft_wrap=True)
    return new_id


def _shown(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _settled(
    job: Run, cfg: DictConfig, name: str, questions: Questions, verdict: Regrading
) -> tuple[Identity, Settled, Readings]:
    """Grades alone: what was measured is in the run that is linked."""
    facts = questions.facts
    if verdict.judge is not None:
        # Ratings of different judges are never compared: the judge is part of the protocol.
        facts = replace(facts, protocol=f"{facts.protocol}, judge {verdict.judge}")
    elsewhere = f"measured in run {run_id(job)}, whose answers these are"
    lines = [
        f"### {name}: {score(verdict.metrics)}",
        "",
        f"The answers of run `{run_id(job)}` under the scorer of `{facts.protocol}` on "
        f"{time.strftime('%Y-%m-%d')}: {verdict.changed} of {len(verdict.records)} are judged differently. "
        f"Score before: {score(job.metrics)}. Speed, memory and energy are in that run.",
        *too_few(verdict.metrics, facts),
        *(f"- `{line}`" for line in verdict.settings),
    ]
    before = job.manifest.identity
    assert before is not None
    identity = Identity(
        run_key=rescored_key(before.run_key or run_id(job), facts.protocol, verdict.scoring),
        model=before.model,
        revision=before.revision,
        prompt_sha256=questions.prompt.sha256(),
        dataset=facts,
    )
    settled = Settled(
        metrics=verdict.metrics,
        params={
            "dataset/protocol_id": facts.protocol,
            "dataset/prompt_sha256": identity.prompt_sha256,
            **({} if verdict.similarity is None else _embedder_params(verdict.similarity)),
        },
        tags={
            "wattrack.rescored_from": run_id(job),
            "wattrack.rescored_changed": str(verdict.changed),
            **_judge_tags(cfg, verdict),
            **({} if verdict.similarity is None else {"similarity.conditions": verdict.similarity.embedder}),
        },
        description="\n".join(lines)[:7900],
    )
    unavailable = {"speed, memory, energy": elsewhere}
    return identity, settled, Readings(windows=(), samples=(), carbon=None, unavailable=unavailable)


def _embedder_params(compared: Compared) -> dict[str, object]:
    """What `similarity.model_id` and `.revision` turned out to be; the settings themselves are parameters already."""
    own = ("pooling", "normalised", "max_tokens", "prompt")
    found = {f"similarity/{name}": compared.facts[f"similarity/{name}"] for name in own}
    return {**found, "similarity/resolved_revision": compared.facts["similarity/revision"]}


def _judge_tags(cfg: DictConfig, verdict: Regrading) -> dict[str, str]:
    """Who rated the answers, or that nobody did; nothing where a program scores."""
    if verdict.judge is not None:
        graded = any(not math.isnan(record.score) for record in verdict.records)
        return {
            "quality.status": f"{'judged' if graded else 'unscored: no readable rating'} by {verdict.judge}",
            "judge.name": verdict.judge,
            "judge.model": str(cfg.judge.model_id),
            "judge.prompt_sha256": str(verdict.scoring["judge_prompt"]),
        }
    return {"quality.status": UNSCORED} if verdict.scoring["judging"] is not None else {}
