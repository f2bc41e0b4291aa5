"""One job: a composed configuration in, one MLflow run and one output folder out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wattrack import benchmark, environment, plausibility, segments
from wattrack.artifacts import write_results
from wattrack.comparison.conditions import CONTENDED, conditions
from wattrack.comparison.table import job_table
from wattrack.comparison.varied import SWEPT
from wattrack.config import Resume
from wattrack.delivery import close_run, log_result, open_tracker, write_failure
from wattrack.description import describe, source_tags
from wattrack.footprint import Prices
from wattrack.identity import flatten
from wattrack.measurement import Find, Measured, measure
from wattrack.plan import Plan
from wattrack.plausibility import Evidence
from wattrack.redaction import redacted, without_credentials
from wattrack.schema import ChoiceRequest, JobResult, JobStart, Record, Request
from wattrack.segments import Earlier
from wattrack.summary import Metrics, grammar, running, summarize, unscored, unscored_records
from wattrack.tasks.task import Questions
from wattrack.tracking.store import Status, Tracker

_ENGINE_METRICS = {
    "tokens/computed": "tokens/computed",
    "model/weights_gib": "memory/weights_gib",
    "memory/kept_gib": "memory/kept_gib",
    "memory/left_over_gib": "memory/left_over_gib",
    "memory/vram_predicted_gib": "memory/vram_predicted_gib",
    "memory/rss_predicted_gib": "memory/rss_predicted_gib",
}
"""Facts of the engine that are metrics."""
UNSCORED = "unscored: no judge"


def run_job(plan: Plan, console: Console) -> float | None:
    """Run one job from first row to last plot; returns its score. The MLflow run ends FINISHED, FAILED or KILLED."""
    tracker = open_tracker(plan.cfg)
    start = _start(plan)
    plan.output_dir.mkdir(parents=True, exist_ok=True)
    (plan.output_dir / "config.yaml").write_text(start.config_yaml, "utf-8")
    tracker.close_dead_runs()  # of earlier processes that were killed: nothing stays RUNNING for ever
    run_id = tracker.start(start)
    status: Status = "FAILED"
    error, result, dataset = None, None, None
    try:
        questions = plan.questions()
        dataset = questions.facts
        result = _result(plan, questions, console, _continuation(plan, tracker, run_id))
        log_result(tracker, run_id, start, result, plan.output_dir)
        write_results(plan.output_dir, run_id, "FINISHED", None, result, dataset)
        status = "FINISHED"
    except KeyboardInterrupt:
        status, error = "KILLED", "interrupted"
        raise
    except BaseException as e:
        error = f"{type(e).__name__}: {e}"
        raise
    finally:
        if status != "FINISHED":
            write_failure(partial(write_results, plan.output_dir, run_id, status, error, result, dataset), console)
        close_run(tracker, run_id, status, error, plan.output_dir, console)
    console.print(job_table(plan.name, result.metrics))
    _print_failures(console, result.records)
    if (why := result.tags.get("quality.status")) is not None:
        console.print(f"quality: {why}", style="dim", highlight=False)
    console.print(f"energy: {result.tags['energy.sources']}", style="dim", highlight=False, soft_wrap=True)
    if (windows := result.tags.get(CONTENDED)) is not None:
        text = (
            f"contended: other jobs ran on this machine at the same time ({windows}): speed and energy are not its own"
        )
        console.print(text, style="yellow", highlight=False, soft_wrap=True)
    _print_plausibility(console, result.tags)
    if plan.sweep_id is None:
        print_links(console, tracker, [run_id], plan.cfg)
    return result.metrics["quality/score"]


def _print_failures(console: Console, records: Sequence[Record]) -> None:
    """How many answers failed and why the first did, if any."""
    if failed := [r for r in records if r.error is not None]:
        text = f"{len(failed)} of {len(records)} answers failed; the first ({failed[0].id}): {failed[0].error}"
        console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _print_plausibility(console: Console, tags: Mapping[str, str]) -> None:
    """One line; a failed check gets a line of its own with what was compared."""
    console.print(f"plausibility: {tags['plausibility']}", style="dim", highlight=False, soft_wrap=True)
    for name, text in tags.items():
        if name.startswith("plausibility.") and text.startswith("failed"):
            console.print(
                f"  {name.removeprefix('plausibility.')} {text}", style="yellow", markup=False, highlight=False
            )


def print_links(console: Console, tracker: Tracker, run_ids: Sequence[str], cfg: DictConfig) -> None:
    """Where to look in the MLflow UI; a server's own address, or the one that `wattrack ui` will have."""
    local = f"http://127.0.0.1:{cfg.tracking.ui_port}"
    hint = "" if tracker.uri.startswith("http") else " (start the UI with `make ui` or `wattrack ui`)"
    console.print(f"Look at it{hint}:", markup=False, highlight=False)
    base_url = local if hint else without_credentials(tracker.uri).rstrip("/")
    for title, url in tracker.links(list(run_ids), base_url=base_url):
        console.print(f"  {title}: {url}", markup=False, highlight=False, soft_wrap=True)


def _start(plan: Plan) -> JobStart:
    """What is known before the job runs."""
    tags: dict[str, str] = {}
    if plan.sweep_id is not None:
        tags |= {"wattrack.sweep_id": plan.sweep_id, SWEPT: ",".join(plan.swept)}
    if plan.random_weights:
        tags["model.weights"] = "random"
    return job_start(plan.cfg, plan.name, plan.output_dir, tags)


def job_start(cfg: DictConfig, name: str, output_dir: Path, tags: Mapping[str, str]) -> JobStart:
    """Every resolved setting as a parameter, the machine and `tags` as tags."""
    settings: Any = redacted(OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))
    config_yaml = OmegaConf.to_yaml(OmegaConf.create(settings))
    groups = {k: settings[k]["name"] for k in ("model", "dataset", "preset", "hardware", "tracking")}
    settings["dataset"]["protocols"] = {
        k: v for k, v in settings["dataset"]["protocols"].items() if k == settings["dataset"]["protocol"]
    }
    return JobStart(
        name=name,
        kind="job",
        params={**flatten(settings), **groups},
        tags={**environment.describe(), "wattrack.output_dir": str(output_dir), **tags},
        config_yaml=config_yaml,
        output_dir=str(output_dir),
    )


def _continuation(plan: Plan, tracker: Tracker, run_id: str) -> Find:
    """How this job, once its identity is known, labels its run with it and finds the interrupted run to continue."""

    def find(key: str, machine: str) -> Earlier | None:
        tracker.tag(run_id, {"wattrack.run_key": key})
        if plan.cfg.resume != Resume.auto:
            return None
        # A process that died before it wrote anything must not hide what those before it left.
        for run in tracker.unfinished(key, before=run_id):
            folder = Path(run.data.tags["wattrack.output_dir"])
            if (earlier := segments.find(folder, run.info.run_id, key, machine)) is not None:
                return earlier
        return None

    return find


def _segment_tags(earlier: Earlier | None) -> dict[str, str]:
    """How many processes the totals are sums over, and which run was continued."""
    if earlier is None:
        return {"wattrack.segments": "1"}
    return {"wattrack.segments": str(len(earlier.segments) + 1), "wattrack.continues": earlier.run_id}


def _result(plan: Plan, questions: Questions, console: Console, find: Find) -> JobResult:
    """Measure and summarize."""
    measured = measure(plan, questions, console, find)
    metrics, facts = _metrics(plan, questions, measured)
    records, series = measured.records, running(measured.records, measured.energy_points)
    if plan.random_weights:
        metrics, records = unscored(metrics), unscored_records(records)
        series = tuple(point for point in series if point[0] != "running/score")
    checks = plausibility.examine(
        Evidence(
            metrics=metrics,
            facts=measured.facts,
            hardware=measured.hardware,
            records=records,
            probe=measured.probe,
            readings=measured.readings,
            references=benchmark.references(questions.samples, plan.task.score),
            bandwidth_gb_s=plan.cfg.hardware.memory_bandwidth_gb_s,
            peak_tflops=plan.cfg.hardware.peak_tflops,
        )
    )
    tags = {
        "wattrack.run_key": measured.run_key,
        **_segment_tags(measured.earlier),
        **measured.hardware,
        **source_tags(measured.readings),
        **conditions(measured.facts, plan.cfg.preset.batch_size, measured.records, measured.probe),
        **plausibility.tags(checks),
        **({"quality.status": UNSCORED} if plan.task.judging is not None else {}),
    }
    return JobResult(
        metrics=metrics,
        params={
            **facts,
            "dataset/protocol_id": plan.task.protocol,
            "dataset/prompt_sha256": questions.prompt.sha256(),
        },
        tags=tags,
        records=records,
        probe=measured.probe,
        readings=measured.readings,
        dataset=questions.facts,
        description=describe(plan.name, metrics, measured.readings, questions.facts, facts, checks),
        running=series,
    )


def _metrics(plan: Plan, questions: Questions, measured: Measured) -> tuple[Metrics, dict[str, object]]:
    """The metrics, and those facts of the engine that are none."""
    facts = dict(measured.facts)
    by_engine: dict[str, float | None] = {"time/total_s": measured.total_s}
    for fact, metric in _ENGINE_METRICS.items():
        if isinstance(value := facts.pop(fact, None), int | float):
            by_engine[metric] = float(value)
    metrics = summarize(measured.records, measured.probe, measured.readings, by_engine, _prices(plan.cfg))
    metrics |= grammar(questions.requests, measured.records)
    if plan.task.aggregate is not None:
        metrics |= {f"quality/{name}": value for name, value in plan.task.aggregate(measured.records).items()}
    return metrics, facts


def _prices(cfg: DictConfig) -> Prices:
    machine = cfg.hardware
    return Prices(
        hourly_usd=machine.hourly_usd,
        usd_per_kwh=machine.usd_per_kwh,
        carbon_g_per_kwh=machine.carbon_intensity_g_per_kwh,
        pue=machine.pue,
    )


def dry_run(plan: Plan, console: Console) -> None:
    """Say what would run and show the exact first prompt; nothing is written, no model is loaded."""
    questions = plan.questions()
    facts, n = questions.facts, len(questions.requests)
    console.print(f"{plan.name}: {n} requests, {facts.protocol}, rows from {facts.source}", markup=False)
    first = questions.requests[0]
    for line in _lengths([r for r in questions.requests if isinstance(r, Request)]):
        console.print(line, markup=False, highlight=False)
    console.print(f"first prompt ({first.sample_id}):", markup=False)
    console.print(_shown(first), markup=False, highlight=False, soft_wrap=True)


def _lengths(requests: Sequence[Request]) -> Iterator[str]:
    """What is exact, in tokens of the model's own tokenizer; drawn lengths differ from request to request."""
    prompts = [r.prompt_tokens for r in requests if r.prompt_tokens is not None]
    answers = [r.generation.max_new_tokens for r in requests if r.generation.fixed_length]
    for name, lengths in (("prompts", prompts), ("answers", answers)):
        if len(set(lengths)) > 1:
            yield f"{name}: {min(lengths)} to {max(lengths)} tokens, mean {sum(lengths) / len(lengths):.1f}"
        elif lengths:
            yield f"{name}: {lengths[0]} tokens"


def _shown(request: Request | ChoiceRequest) -> str:
    """A request as text; continuations are quoted, because their first blank matters, and equal contexts come once."""
    if isinstance(request, Request):
        prompt = request.prompt
        turns = [prompt] if isinstance(prompt, str) else [f"[{m.role}] {m.content}" for m in prompt]
        extra = [f"[tool] {json.dumps(tool, ensure_ascii=False)}" for tool in request.tools]
        if request.constraint is not None:
            extra.append(f"[constraint] {json.dumps(request.constraint, ensure_ascii=False)}")
        return "\n".join([*extra, *turns])
    lines: list[str] = []
    for number, candidate in enumerate(request.candidates):
        if number == 0 or candidate.context != request.candidates[number - 1].context:
            lines.append(candidate.context)
        lines.append(f"[continuation] {json.dumps(candidate.continuation, ensure_ascii=False)}")
    return "\n".join(lines)
