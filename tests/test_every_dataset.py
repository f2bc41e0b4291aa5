"""Every dataset of conf/dataset by every protocol, end to end: a real job of the smallest demo model over real rows."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import yaml
from mlflow.entities import Run

from dataset_runs import CASES, LIMIT, REFUSED, Asked, Case
from support import CHECKOUT
from wattrack.journal import read_journal
from wattrack.metrics.rows import METRICS

Runner = Callable[..., int]

DATA = CHECKOUT.parent / "shared" / "data"
FILES = sorted((CHECKOUT / "conf" / "dataset").glob("*.yaml"))
PROTOCOLS = {
    (file.stem, f"{name}@{protocol['version']}"): protocol
    for file in FILES
    for name, protocol in yaml.safe_load(file.read_text("utf-8"))["protocols"].items()
}
KNOWN = {(name, asked) for name, case in CASES.items() for asked in case.asked}
GATED = {(name, asked) for name, protocols in REFUSED.items() for asked in protocols}
WRITTEN = {"truncated_rate", "empty_rate", "truncated_thinking_rate"}
COMPARED = {"near_tie_rate", "boundary_merge_rate"}
SCORE = {"score", "score_n", "score_ci_low", "score_ci_high"}
NO_TOOLS = "its chat template takes no tools: a system message describes them"


def test_every_protocol_has_an_entry() -> None:
    assert set(PROTOCOLS) == KNOWN | GATED, "add what is new to tests/dataset_runs.py"
    assert not KNOWN & GATED


def overrides(name: str, protocol: str, case: Case, asked: Asked) -> list[str]:
    chosen = protocol.split("@")[0]
    found = ["model=demo_xs", f"limit={LIMIT}", "probe_questions=1", "hardware.threads=1", f"dataset={name}"]
    found += [f"dataset.protocol={chosen}", *case.settings]
    if case.folder is not None:
        found.append(f"dataset.data_dir={DATA / case.folder}")
    if asked.new_tokens is not None:
        found.append(f"dataset.protocols.{chosen}.prompt.max_new_tokens={asked.new_tokens}")
    return found


def logged(outputs: Path, name: str) -> Run:
    client = mlflow.MlflowClient(f"sqlite:///{outputs}/mlruns/mlflow.db")
    found = client.get_experiment_by_name(name)
    assert found is not None
    (run,) = client.search_runs([found.experiment_id], "tags.`wattrack.kind` = 'job'")
    return run


def check_run(run: Run, summary: dict[str, object], case: Case, asked: Asked, protocol: str) -> None:
    """Status, identity and every metric, as MLflow has them."""
    dataset = summary["dataset"]
    assert isinstance(dataset, dict)
    assert run.info.status == summary["status"] == "FINISHED"
    sha, params = str(summary["prompt_sha256"]), run.data.params
    assert (params["dataset/prompt_sha256"], params["dataset/protocol_id"]) == (sha, protocol)
    assert (sha[:8], dataset["digest"][:8], dataset["protocol"]) == (asked.sha, case.digest, protocol)
    assert dataset["rows"] == min(LIMIT, case.records)
    assert run.data.tags["wattrack.run_key"] == summary["run_key"]
    assert run.data.tags["wattrack.dataset_digest"] == dataset["digest"]
    assert run.data.tags["plausibility.references_score"].split(":")[0] in ("ok", "not checked")
    metrics = {k: v for k, v in run.data.metrics.items() if not k.startswith(("system/", "running/"))}
    assert set(metrics) == set(summary["metrics"]) <= set(METRICS)  # type: ignore[call-overload]
    assert all(math.isfinite(v) for v in run.data.metrics.values())
    assert not [
        k for k, v in metrics.items() if k.startswith("quality/") and METRICS[k].unit == "1" and not 0 <= v <= 1
    ]
    assert metrics["time/total_s"] > 0 and metrics["tokens/input"] > 0


def check_records(records: pd.DataFrame, metrics: dict[str, float], case: Case, asked: Asked, *, choices: bool) -> None:
    """A row for every question, and metrics that are what the rows say."""
    assert len(records) == case.records == metrics["quality/n"]
    assert records["id"].is_unique and records["error"].isna().all()
    assert metrics["quality/error_rate"] == 0
    scores = records["score"].dropna()
    assert len(scores) == (case.records if case.scored is None else case.scored)
    own = {f"{case.parts}{group}" for group in records["group"].dropna().unique()} if case.parts else set()
    expected = {*asked.metrics.split(), *own, "n", "error_rate", "extraction_failure_rate"}
    expected |= (COMPARED if choices else WRITTEN) | (SCORE if len(scores) else set())
    assert {k.removeprefix("quality/") for k in metrics if k.startswith("quality/")} == expected
    if len(scores):
        low, score, high = (metrics[f"quality/{n}"] for n in ("score_ci_low", "score", "score_ci_high"))
        assert score == pytest.approx(scores.mean(), abs=1e-4) and low <= score <= high and high - low < 0.5
    assert metrics["quality/extraction_failure_rate"] == pytest.approx(records["answer"].isna().mean(), abs=1e-4)
    if asked.tokens is not None:
        assert {*zip(records["input_tokens"], records["output_tokens"], strict=True)} == {asked.tokens}
    for text, count in asked.prompt.items():
        assert {p.count(text) for p in records["prompt_text"]} == {count}, text
    assert records["output"].str.strip().astype(bool).any() and records["question"].str.strip().astype(bool).all()
    assert records["logprobs"].notna().all() if choices else (records["output_tokens"] > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), sorted(set(PROTOCOLS) - GATED), ids=lambda value: str(value))
def test_thirty_rows(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str], name: str, protocol: str
) -> None:
    case = CASES[name]
    asked, settings = case.asked[protocol], PROTOCOLS[name, protocol]
    if case.folder is not None and not (DATA / case.folder).is_dir():
        pytest.skip(f"the published rows of {name} are not beside the checkout")
    asks = settings["prompt"]["_target_"].rpartition(".")[2]
    choices = asks in ("Choices", "Letters", "Partial")
    assert run_here(*overrides(name, protocol, case, asked)) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    run = logged(outputs, name)
    folder = Path(run.data.tags["wattrack.output_dir"])
    check_run(run, json.loads((folder / "summary.json").read_text("utf-8")), case, asked, f"{name}/{protocol}")
    records = pd.read_parquet(folder / "records.parquet")
    check_records(records, run.data.metrics, case, asked, choices=choices)
    journal = read_journal(folder / "responses.jsonl")
    assert sorted(r.sample_id for r in journal) == sorted(records["id"])
    (table,) = (outputs / "mlruns").rglob("predictions.json")
    assert len(json.loads(table.read_text("utf-8"))["data"]) == case.records
    warnings = [line for line in (folder / "job.log").read_text("utf-8").splitlines() if " INFO " not in line]
    warnings = [line for line in warnings if NO_TOOLS not in line or asks != "Tools"]
    assert len(warnings) == len(case.warned)
    assert all(text in line for text, line in zip(case.warned, warnings, strict=True))
    assert re.search(rf"quality/n +{case.records}  questions", printed.out)
    interval = r"quality/score +[\d.]+% \[[\d.]+%, [\d.]+%\]  95 % Wilson interval"
    assert re.search(r"quality/score +-  not scored" if case.scored == 0 else interval, printed.out)
    assert "plausibility: ok" in printed.out


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), sorted(GATED))
def test_gated_rows_that_are_not_there_are_refused(
    run_here: Runner,
    outputs: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    protocol: str,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert run_here("model=demo_xs", f"dataset={name}", f"dataset.protocol={protocol.split('@')[0]}") == 1
    told = capsys.readouterr().err
    assert "cannot reach the Hugging Face hub for Idavidrein/gpqa" in told and "with gpqa_diamond.jsonl" in told
    assert logged(outputs, name).info.status == "FAILED"
