"""One job: a composed configuration in, one MLflow run and one output folder out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from wattrack import environment
from wattrack.job import segments
from wattrack.job.phases import measure
from wattrack.job.plan import Plan
from wattrack.job.segments import Earlier
from wattrack.redaction import redacted, without_credentials
from wattrack.results.conditions import CONTENDED
from wattrack.results.stated import names_of
from wattrack.results.tables import job_table
from wattrack.results.varied import SWEPT
from wattrack.runs.write import RunFolder
from wattrack.schema import ChoiceRequest, JobStart, Record, Request
from wattrack.settings.config import Resume
from wattrack.settings.flat import flatten
from wattrack.tracking.delivery import deliver, open_tracker, working
from wattrack.tracking.store import Tracker


def run_job(plan: Plan, console: Console) -> float | None:
    """Run one job from first row to last plot; returns its score. The MLflow run ends FINISHED, FAILED or KILLED."""
    tracker = open_tracker(plan.cfg)
    start = _start(plan)
    folder = RunFolder.begin(start)
    tracker.close_dead_runs()  # of earlier processes that were killed: nothing stays RUNNING for ever
    with working(folder, tracker, start, console) as run_id:
        questions = plan.questions()
        identity = plan.identity(questions)
        folder.identified(identity)
        tracker.tag(run_id, {"wattrack.run_key": identity.run_key})
        earlier = _interrupted(plan, tracker, run_id, identity.run_key)
        folder.measured(measure(plan, questions, console, identity.run_key, earlier))
        result = deliver(folder, tracker)
    console.print(job_table(plan.name, result.metrics))
    _print_failures(console, result.records)
    if (why := result.tags.get("quality.status")) is not None:
        console.print(f"quality: {why}", style="dim", highlight=False)
    console.print(f"energy: {result.tags['energy.sources']}", style="dim", highlight=False, soft_wrap=True)
    if (windows := result.tags.get(CONTENDED)) is not None:
        which = ", ".join(names_of(windows))
        text = f"contended: other jobs ran on this machine at the same time ({which}): speed and energy are not its own"
        console.print(text, style="yellow", highlight=False, soft_wrap=True)
    _print_plausibility(console, result.tags)
    if plan.alone:
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
        tags |= {"wattrack.sweep_id": plan.sweep_id}
        tags |= {f"wattrack.sweep.{plan.sweep_id}": "1"} if plan.alone else {SWEPT: ",".join(plan.swept)}
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


def _interrupted(plan: Plan, tracker: Tracker, run_id: str, run_key: str) -> list[Earlier]:
    """What interrupted runs of the same identity left to continue, the latest first."""
    if plan.cfg.resume != Resume.auto:
        return []
    # A process that died before it wrote anything must not hide what those before it left.
    left = (
        segments.find(Path(run.data.tags["wattrack.output_dir"]), run.info.run_id, run_key)
        for run in tracker.unfinished(run_key, before=run_id)
    )
    return [earlier for earlier in left if earlier is not None]


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
