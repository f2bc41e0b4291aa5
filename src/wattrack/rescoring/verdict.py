"""What scoring again found: the new grades beside the old, in numbers and in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from omegaconf import DictConfig
from rich.console import Console

from wattrack.rescoring.judging import Judged
from wattrack.rescoring.scoring import differences, scoring_settings
from wattrack.rescoring.similarity import Compared
from wattrack.results.job_result import UNSCORED
from wattrack.results.stated import values_of
from wattrack.results.summary import Metrics, grammar, quality
from wattrack.results.tables import number, score
from wattrack.runs.read import Run
from wattrack.schema import Record
from wattrack.tasks.task import Questions, Task

BY_EMBEDDER = "similarity_"
"""How such metrics of a record begin; a scorer has no part in them."""


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
class Regrading:
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


def verdict_of(
    job: Run, task: Task, questions: Questions, cfg: DictConfig, graded: Judged, compared: Compared | None
) -> Regrading:
    keys = [(r.sample_id, r.repeat) for r in questions.requests]
    records = graded.records if compared is None else compared.records
    metrics = quality(records) | grammar(questions.requests, records)
    if compared is not None:
        metrics["quality/similarity_n"] = float(compared.n)
    if task.aggregate is not None:
        metrics |= {f"quality/{name}": value for name, value in task.aggregate(graded.records).items()}
    scoring, by = scoring_settings(cfg), None
    if task.judging is not None and cfg.judge.model_id is not None:
        at = "" if graded.revision is None else f"@{graded.revision}"
        by = f"{cfg.judge.model_id}{at}, prompt {task.judging.version}"
        scoring |= {"judge": by, "judge_prompt": task.judging.sha256()}
    if compared is not None:
        scoring["similarity"] = _told(compared.embedder)
    before, said = scoring_settings(job.cfg), job.tags
    if "judge.name" in said:
        before |= {"judge": said["judge.name"], "judge_prompt": said["judge.prompt_sha256"]}
    if "similarity.conditions" in said:
        before["similarity"] = _told(said["similarity.conditions"])
    grades = {(r.id, r.repeat): Grade.of(r) for r in job.records}
    return Regrading(
        # How long an answer took was measured in the run that is linked, not here.
        records=tuple(replace(r, latency_s=None, ttft_s=None) for r in records),
        metrics=metrics,
        changed=sum(Grade.of(r) != grades.get(key) for key, r in zip(keys, graded.records, strict=True)),
        settings=tuple(differences(before, scoring)),
        scoring=scoring,
        judge=by,
        similarity=compared,
    )


def _told(embedder: str) -> dict[str, str]:
    """What a tag says of the embedder, alike for tags of every version."""
    return {name: str(value) for name, value in values_of(embedder).items()}


def tell(console: Console, job: Run, verdict: Regrading, *, whole: bool) -> None:
    """Print what scoring again found; where the job was not in one piece (`whole`), the result is always a new run."""
    n, now = len(verdict.records), score(verdict.metrics)
    if whole and not verdict.changed and not verdict.settings:
        lines = [f"nothing differs from run {run_id(job)}: {n} answers, score {now}; no run was logged"]
    else:
        lines = [f"{verdict.changed} of {n} answers are judged differently than in run {run_id(job)}"]
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


def _similarity_told(verdict: Regrading) -> str:
    assert verdict.similarity is not None
    n, planned = verdict.similarity.n, len(verdict.records)
    cut = verdict.metrics.get("quality/similarity_truncated_rate") or 0.0
    return (
        f"similarity: {number(verdict.metrics.get('quality/similarity_mean'))} over {n} of {planned} answers; others "
        f"failed, are empty or have no reference text; {cut:.0%} were not read to their end by the embedder"
    )


def run_id(job: Run) -> str:
    """The run of the store whose answers are scored again."""
    return str(job.manifest.outcome.mlflow_run_id)
