"""Stored answers under today's scorer, without a model; a new MLflow run, linked to the old, if anything differs."""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wattrack import checks, config, grading, places, wiring
from wattrack.engines.embedder import Embedder
from wattrack.errors import ConfigError, DatasetError, ScoringError
from wattrack.flat import flatten
from wattrack.identity import job_name, rescored_key
from wattrack.job import job_start
from wattrack.judging import Judged, judge
from wattrack.refusal import choices
from wattrack.results.description import too_few
from wattrack.results.job_result import UNSCORED
from wattrack.results.tables import number, score
from wattrack.runs.layout import ANSWERS
from wattrack.runs.manifest import Identity, Settled
from wattrack.runs.read import Run
from wattrack.runs.write import RunFolder
from wattrack.schema import Readings, Record, Response
from wattrack.similarity import Compared, compare, require_references
from wattrack.summary import Metrics, grammar, quality
from wattrack.tasks.task import Questions, Task
from wattrack.tracking.delivery import deliver, open_tracker, working
from wattrack.tracking.fetch import fetched
from wattrack.tracking.store import Tracker, ensure_store, store_uri

_SCORING = ("version", "headline", "scorer", "aggregate", "judging")
"""Keys of a protocol that judge answers; all others put the question, and those stay what they were."""
BY_EMBEDDER = "similarity_"
"""How such metrics of a record begin; a scorer has no part in them."""
_TAKEN = (
    "name",
    "sandbox.allow",
    "dataset.data_dir",
    "dataset.prompts_dir",
    "tracking.uri",
    "tracking.experiment",
    "tracking.traces",
    "judge.model_id",
    "judge.revision",
    "similarity.model_id",
    "similarity.revision",
)
"""Other settings that touch neither the answers nor the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """What a scorer or judge said of one answer; equal grades compare equal."""

    score: float | None
    """None: the answer does not count for the headline."""
    answer: str | None
    metrics: Mapping[str, float]

    @classmethod
    def of(cls, record: Record) -> "Grade":
        """The grade in a record."""
        graded = {name: value for name, value in record.metrics.items() if not name.startswith(BY_EMBEDDER)}
        return cls(score=None if math.isnan(record.score) else record.score, answer=record.answer, metrics=graded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The new grades and how they differ from the old ones."""

    records: tuple[Record, ...]
    metrics: Metrics
    changed: int
    """Answers whose score, extracted answer or metrics differ."""
    settings: tuple[str, ...]
    """One line for each scoring setting that differs."""
    scoring: Mapping[str, object]
    """What graded: the protocol's scoring settings, and the judge."""
    judge: str | None
    """Who rated the answers, where a program cannot."""
    similarity: Compared | None
    """How like their references the answers are, where an embedder was named."""


def rescore(run: str, overrides: Sequence[str], console: Console) -> str | None:
    """Score the answers of a job again; returns the id of the new run, or None when nothing differs.

    Args:
        run: a job's output folder, or its MLflow run id.
        overrides: Hydra overrides of the scoring settings, or of those in `_TAKEN`.

    Raises:
        ConfigError, DatasetError: refused: no such job, other rows, answers missing, random weights.
        ScoringError: the scorer failed.
        TrackingError: the new run cannot be logged.
    """
    uri = next((text.split("=", 1)[1] for text in overrides if text.startswith("tracking.uri=")), None)
    with fetched(run, _store(uri)) as job:
        if str(job.cfg.model.weights) == "random":
            raise ConfigError(f"run {_id(job)} has random weights: there is nothing to score")
        cfg = settings_now(job.cfg, overrides)
        checks.check(cfg)
        task = wiring.build_task(cfg)
        if task.sandbox is not None:
            task.sandbox.require()
        questions = _same_questions(job, task, cfg)
        folder = _new_folder(cfg)
        embedder = _embedder(task, questions, cfg)
        graded = _graded(job, task, questions, cfg, folder, console)
        compared = (
            None if embedder is None else compare(embedder, questions.samples, _answers(job, questions), graded.records)
        )
        verdict = _verdict(job, task, questions, cfg, graded, compared)
        _tell(console, job, verdict)
        if not verdict.changed and not verdict.settings:
            return None
        return _log(job, cfg, questions, verdict, folder, console)


def _store(uri: str | None) -> Tracker:
    found = store_uri(uri, places.root())
    ensure_store(found)
    return Tracker(found, None)


def settings_now(stored: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The job's settings, with the scoring ones as the dataset's YAML and the overrides give them today.

    ConfigError when an override would change more than the scoring, or the protocol's questions have changed since.
    """
    protocol = str(stored.dataset.protocol)
    now, cfg = _composed(stored, overrides), stored.copy()
    for key in (text.lstrip("~+").split("=", 1)[0] for text in overrides):
        if key in _TAKEN:
            OmegaConf.update(cfg, key, OmegaConf.select(now, key))
        elif not key.startswith(tuple(f"dataset.protocols.{protocol}.{name}" for name in _SCORING)):
            takes = ", ".join([*_TAKEN, f"dataset.protocols.{protocol}.{{{','.join(_SCORING)}}}"])
            raise ConfigError(f"{key}: scoring again changes how answers are judged, nothing else; it takes {takes}")
    if protocol not in now.dataset.protocols:
        return cfg
    old, new = stored.dataset.protocols[protocol], now.dataset.protocols[protocol]
    asks = [key for key in new if key not in (*_SCORING, "live_score") and new[key] != old[key]]
    if new.version != old.version and asks:
        raise ConfigError(
            f"{stored.dataset.name}/{protocol} is at version {new.version} and asks differently ({', '.join(asks)}) "
            f"than version {old.version}, which was answered: run it again"
        )
    for key in _SCORING:
        cfg.dataset.protocols[protocol][key] = new[key]
    for key in ("to_sample", "runs_code", "text_reference"):
        cfg.dataset[key] = now.dataset[key]
    return cfg


def _composed(stored: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Today's configuration of the job's dataset; the stored one where no YAML has that name."""
    config.register()
    name = str(stored.dataset.name)
    if name not in choices("dataset"):
        ConfigStore.instance().store(group="dataset", name=name, node=stored.dataset)
    chosen = [f"dataset={name}", f"dataset.protocol={stored.dataset.protocol}"]
    with initialize_config_dir(str(places.conf_dir()), version_base="1.3"):
        return compose("config", overrides=[*chosen, *overrides])


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
    embedder = wiring.build_embedder(cfg)
    embedder.check()
    return embedder


def _answers(job: Run, questions: Questions) -> list[Response]:
    return [job.responses[r.sample_id, r.repeat] for r in questions.requests]


def _graded(job: Run, task: Task, questions: Questions, cfg: DictConfig, folder: Path, console: Console) -> Judged:
    """The answers graded, by the scorer or by the judge."""
    responses = _answers(job, questions)
    if cfg.judge.model_id is not None:
        engine = wiring.build_judge(cfg)
        assert task.judging is not None
        engine.check()
        folder.mkdir(parents=True)
        return judge(engine, task.judging, questions.samples, responses, folder, console)
    workers = task.sandbox.workers if task.sandbox is not None else 1
    try:
        return Judged(records=grading.records(questions.samples, responses, task.score, workers), revision=None)
    except Exception as e:
        raise ScoringError(f"the scorer of {task.protocol} failed: {type(e).__name__}: {e}") from e


def _verdict(
    job: Run, task: Task, questions: Questions, cfg: DictConfig, graded: Judged, compared: Compared | None
) -> Verdict:
    keys = [(r.sample_id, r.repeat) for r in questions.requests]
    records = graded.records if compared is None else compared.records
    metrics = quality(records) | grammar(questions.requests, records)
    if compared is not None:
        metrics["quality/similarity_n"] = float(compared.n)
    if task.aggregate is not None:
        metrics |= {f"quality/{name}": value for name, value in task.aggregate(graded.records).items()}
    scoring, by = _scoring(cfg), None
    if task.judging is not None and cfg.judge.model_id is not None:
        at = "" if graded.revision is None else f"@{graded.revision}"
        by = f"{cfg.judge.model_id}{at}, prompt {task.judging.version}"
        scoring |= {"judge": by, "judge_prompt": task.judging.sha256()}
    if compared is not None:
        scoring["similarity"] = compared.embedder
    before, said = _scoring(job.cfg), job.tags
    if "judge.name" in said:
        before |= {"judge": said["judge.name"], "judge_prompt": said["judge.prompt_sha256"]}
    if "similarity.conditions" in said:
        before["similarity"] = said["similarity.conditions"]
    grades = {(r.id, r.repeat): Grade.of(r) for r in job.records}
    return Verdict(
        # How long an answer took was measured in the run that is linked, not here.
        records=tuple(replace(r, latency_s=None, ttft_s=None) for r in records),
        metrics=metrics,
        changed=sum(Grade.of(r) != grades.get(key) for key, r in zip(keys, graded.records, strict=True)),
        settings=tuple(_differences(before, scoring)),
        scoring=scoring,
        judge=by,
        similarity=compared,
    )


def _scoring(cfg: DictConfig) -> dict[str, object]:
    """The protocol's scoring settings as plain values."""
    settings = OmegaConf.to_container(cfg.dataset.protocols[cfg.dataset.protocol], resolve=True, enum_to_str=True)
    assert isinstance(settings, dict)
    return {key: settings[key] for key in _SCORING}


def _differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    old, new = flatten(before, "", "."), flatten(now, "", ".")
    absent = "absent"
    pairs = ((key, old.get(key, absent), new.get(key, absent)) for key in dict.fromkeys([*old, *new]))
    return [f"{key}: {a} -> {b}" for key, a, b in pairs if a != b]


def _tell(console: Console, job: Run, verdict: Verdict) -> None:
    n, now = len(verdict.records), score(verdict.metrics)
    if not verdict.changed and not verdict.settings:
        lines = [f"nothing differs from run {_id(job)}: {n} answers, score {now}; no run was logged"]
    else:
        lines = [f"{verdict.changed} of {n} answers are judged differently than in run {_id(job)}"]
        lines += [f"  {line}" for line in verdict.settings]
        if (parsed := verdict.metrics.get("quality/mt_bench_parsed")) is not None:
            rating = number(verdict.metrics.get("quality/mt_bench"))
            lines += [f"mt_bench: {rating} of 10; {parsed:.0%} of the judge's replies have a rating"]
        lines += [f"score before: {score(job.metrics)}", f"score now:    {now}"]
    if verdict.similarity is not None:
        lines += [_similarity_told(verdict)]
    if verdict.scoring["judging"] is not None and verdict.judge is None:
        lines += [f"{UNSCORED}; name one with judge.model_id=MODEL"]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _similarity_told(verdict: Verdict) -> str:
    assert verdict.similarity is not None
    n, planned = verdict.similarity.n, len(verdict.records)
    cut = verdict.metrics.get("quality/similarity_truncated_rate") or 0.0
    return (
        f"similarity: {number(verdict.metrics.get('quality/similarity_mean'))} over {n} of {planned} answers; others "
        f"failed, are empty or have no reference text; {cut:.0%} were not read to their end by the embedder"
    )


def _new_folder(cfg: DictConfig) -> Path:
    """Where the new run's files go; not made yet."""
    moment = f"{time.strftime('%Y-%m-%d/%H-%M-%S')}-{time.time_ns() // 1000 % 1_000_000:06d}"
    return places.root() / "multirun" / f"{moment}_{cfg.model.name}_{cfg.dataset.name}_rescored"


def _log(job: Run, cfg: DictConfig, questions: Questions, verdict: Verdict, folder: Path, console: Console) -> str:
    """Write folder and run as a job does; returns the run's id."""
    name = cfg.name or f"{job_name(cfg)} · rescored"
    start = job_start(cfg, name, folder, {"wattrack.rescored_from": _id(job)})
    tracker = open_tracker(cfg)
    run = RunFolder.begin(start)
    shutil.copyfile(job.folder / ANSWERS, folder / ANSWERS)
    with working(run, tracker, start, console) as run_id:
        identity, settled, readings = _settled(job, cfg, name, questions, verdict)
        run.identified(identity)
        run.write_parts(verdict.records, (), readings)
        run.settled(settled)
        deliver(run, tracker)
    console.print(f"logged as run {run_id}, in {_shown(folder)}", markup=False, highlight=False, soft_wrap=True)
    return run_id


def _id(job: Run) -> str:
    return str(job.manifest.outcome.mlflow_run_id)


def _shown(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _settled(
    job: Run, cfg: DictConfig, name: str, questions: Questions, verdict: Verdict
) -> tuple[Identity, Settled, Readings]:
    """Grades alone: what was measured is in the run that is linked."""
    facts = questions.facts
    if verdict.judge is not None:
        # Ratings of different judges are never compared: the judge is part of the protocol.
        facts = replace(facts, protocol=f"{facts.protocol}, judge {verdict.judge}")
    elsewhere = f"measured in run {_id(job)}, whose answers these are"
    lines = [
        f"### {name}: {score(verdict.metrics)}",
        "",
        f"The answers of run `{_id(job)}` under the scorer of `{facts.protocol}` on "
        f"{time.strftime('%Y-%m-%d')}: {verdict.changed} of {len(verdict.records)} are judged differently. "
        f"Score before: {score(job.metrics)}. Speed, memory and energy are in that run.",
        *too_few(verdict.metrics, facts),
        *(f"- `{line}`" for line in verdict.settings),
    ]
    before = job.manifest.identity
    assert before is not None
    identity = Identity(
        run_key=rescored_key(before.run_key or _id(job), facts.protocol, verdict.scoring),
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
            "wattrack.rescored_from": _id(job),
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


def _judge_tags(cfg: DictConfig, verdict: Verdict) -> dict[str, str]:
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
