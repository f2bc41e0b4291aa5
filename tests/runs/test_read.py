"""Folders read back: of this version, of the landed version before it, damaged ones, and from the store."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from support import CHECKOUT, Compose
from test_job import folders
from wattrack import cli
from wattrack.errors import ConfigError, DatasetError
from wattrack.results.job_result import job_result
from wattrack.runs.manifest import Manifest, Outcome, write_manifest
from wattrack.runs.read import load_run
from wattrack.settings.prompting import build_prompt, completed, protocol
from wattrack.tracking.fetch import fetched
from wattrack.tracking.store import Tracker

OLD = CHECKOUT / "tests" / "fixtures" / "old_runs"
Runner = Callable[..., int]


def test_a_finished_run_is_the_same_from_its_folder_and_from_the_store(run_here: Runner, outputs: Path) -> None:
    assert run_here("model=demo_xs", "limit=3", "probe_questions=2", "tracking.traces=none") == 0
    (folder,) = folders(outputs)
    mine = load_run(folder)
    result = job_result(mine)
    outcome = mine.manifest.outcome
    assert (outcome.status, outcome.delivered) == ("FINISHED", True)
    assert len(mine.responses) == len(mine.records) == 3
    assert len(mine.probe) == 2
    assert mine.metrics == {name: value for name, value in result.metrics.items() if value is not None}
    assert outcome.mlflow_run_id is not None
    store = Tracker(f"sqlite:///{outputs}/mlruns/mlflow.db", None)
    with fetched(outcome.mlflow_run_id, store) as theirs:
        assert job_result(theirs) == result
        assert theirs.manifest.identity == mine.manifest.identity
        assert theirs.cfg == mine.cfg
    logged = mlflow.MlflowClient(store.uri).get_run(outcome.mlflow_run_id).data
    assert logged.tags["wattrack.run_key"] == mine.manifest.identity.run_key if mine.manifest.identity else ""
    assert logged.metrics["quality/score"] == pytest.approx(mine.metrics["quality/score"], rel=1e-4)


@pytest.mark.parametrize("name", ["arithmetic", "tool_calls"])
def test_a_folder_of_the_landed_version_is_read(name: str) -> None:
    run = load_run(OLD / name)
    kept = json.loads((OLD / name / "summary.json").read_text("utf-8"))
    assert run.manifest.schema_version == 0
    assert run.manifest.outcome.status == "FINISHED"
    assert run.manifest.identity is not None
    assert run.manifest.identity.run_key == kept["run_key"]
    assert run.manifest.identity.dataset.digest == kept["dataset"]["digest"]
    assert run.metrics == kept["metrics"]
    assert {(r.id, r.repeat) for r in run.records} == set(run.responses)
    scores = [r.score for r in run.records if not math.isnan(r.score)]
    assert sum(scores) / len(scores) == pytest.approx(kept["metrics"]["quality/score"])
    generate = run.readings.window("generate")
    assert generate is not None
    assert generate.duration_s == pytest.approx(kept["metrics"]["time/generate_s"])
    assert run.readings.samples
    assert run.probe == (), "the landed version kept the probe's distribution only"


@pytest.mark.parametrize("name", ["arithmetic", "tool_calls", "mt_bench", "arc_challenge"])
def test_how_a_run_of_the_landed_version_was_asked_is_said_in_todays_terms(composed: Compose, name: str) -> None:
    run = load_run(OLD / name)
    stored = protocol(run.cfg)
    today = protocol(completed(composed(f"dataset={name}", f"dataset.protocol={run.cfg.dataset.protocol}"))).prompt
    asked = {"shots": None, "max_new_tokens": None}  # of these runs, not of the protocol
    assert {**stored.prompt, **asked} == {**today, **asked}
    prompt = build_prompt(run.cfg)
    if name == "arc_challenge":
        assert prompt.draw is not None and prompt.draw.key() == ["train", 3, "seeded", 0]
    else:
        assert run.manifest.identity is not None and prompt.sha256() == run.manifest.identity.prompt_sha256


def test_a_folder_of_the_landed_version_is_scored_again(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = outputs / "multirun" / "old"
    shutil.copytree(OLD / "arithmetic", folder)
    assert cli.main(["score", str(folder)]) == 0
    assert "nothing differs from run" in capsys.readouterr().out


def test_what_is_no_run_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.yaml and no summary\.json; expected what a job leaves"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_text("[1", "utf-8")
    with pytest.raises(DatasetError, match=r"manifest\.json: not a manifest"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema_version": 99}', "utf-8")
    with pytest.raises(DatasetError, match="has format 99, this version reads up to 1: use a newer wattrack"):
        load_run(tmp_path)
    (tmp_path / "manifest.json").write_text('{"schema_version": 1, "name": "a"}', "utf-8")
    with pytest.raises(DatasetError, match=r"manifest\.json: not a manifest \(params: Field required\)"):
        load_run(tmp_path)


def test_a_run_that_failed_early_has_no_results_and_says_so(tmp_path: Path) -> None:
    outcome = Outcome(status="FAILED", error="EngineError: no such model")
    write_manifest(tmp_path, Manifest(name="x", params={}, tags={}, outcome=outcome))
    run = load_run(tmp_path)
    assert (run.records, run.probe, run.metrics) == ((), (), {})
    with pytest.raises(DatasetError, match=r"ended before it had results \(FAILED\)"):
        job_result(run)
