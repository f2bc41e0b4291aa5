"""A multiple-choice job from the command to the store, with a real model and rows of our own."""

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Run

from wattrack.journal import read_journal
from wattrack.metrics.rows import METRICS

Runner = Callable[..., int]


def row(number: int, key: str = "B") -> dict[str, object]:
    texts = [f"{number + i} apples" * (1 + i) for i in range(3)]
    return {"id": str(number), "question": f"How many apples are {number} + 1?", "answerKey": key,
            "choices": {"text": texts, "label": ["A", "B", "C"]}}  # fmt: skip


@pytest.fixture
def rows(outputs: Path) -> Path:
    for split, numbers in (("test", range(8)), ("train", range(20, 60))):
        (outputs / f"{split}.jsonl").write_text("\n".join(json.dumps(row(n)) for n in numbers), "utf-8")
    return outputs


def job(outputs: Path) -> tuple[Run, Path]:
    client = mlflow.MlflowClient(f"sqlite:///{outputs}/mlruns/mlflow.db")
    found = client.get_experiment_by_name("arc_challenge")
    assert found is not None
    run = client.search_runs([found.experiment_id], "tags.`wattrack.kind` = 'job'")[0]
    return run, Path(run.data.tags["wattrack.output_dir"])


def ask(run_here: Runner, rows: Path, *overrides: str) -> int:
    shots = ("dataset.protocols.base.prompt.shots.count=3", "dataset.rows=null")
    return run_here("model=demo_xs", "dataset=arc_challenge", f"dataset.data_dir={rows}", *shots, *overrides)


def test_a_choice_job_leaves_everything(run_here: Runner, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(run_here, rows, "probe_questions=2", "repeats=2") == 0
    run, folder = job(rows)
    assert run.info.status == "FINISHED"
    metrics = {k: v for k, v in run.data.metrics.items() if not k.startswith("system/")}
    assert set(metrics) <= set(METRICS)
    for name in ("quality/score", "quality/acc", "quality/acc_norm", "quality/acc_bytes", "quality/near_tie_rate",
                 "quality/boundary_merge_rate", "throughput/questions_per_s", "latency/e2e_s_p50", "tokens/input",
                 "tokens/computed"):  # fmt: skip
        assert name in metrics, name
    assert metrics["quality/score"] == metrics["quality/acc_norm"]
    assert not [name for name in metrics if "output_token" in name or "ttft" in name or "itl" in name]

    records = pd.read_parquet(folder / "records.parquet")
    responses = read_journal(folder / "responses.jsonl")
    assert len(records) == len(responses) == 16
    assert all(len(r.logprobs) == 3 and r.usage.output_tokens == 0 and r.error is None for r in responses)
    assert {tuple(v) for v in records["logprobs"]} == {r.logprobs for r in responses}
    chosen = [dict(line.split(". ", 1) for line in q.split("\n")[1:])[a] for q, a in
              zip(records["question"], records["answer"], strict=True)]  # fmt: skip
    assert list(records["output"]) == chosen
    assert records["prompt_text"][0].count("Answer:") == 4
    (table,) = [p for p in (rows / "mlruns").rglob("predictions.json")]
    assert "margin" in json.loads(table.read_text("utf-8"))["columns"]
    assert "questions/s" in capsys.readouterr().out


def test_shared_tokens_are_those_of_the_measured_phase(run_here: Runner, rows: Path) -> None:
    assert ask(run_here, rows, "probe_questions=2") == 0
    run, _ = job(rows)
    # Eight questions have a beginning of 112 tokens in common, which one of them computes; the warm-up's do not count.
    assert int(run.data.params["tokens/shared"]) == 7 * 112


def test_the_examples_are_part_of_the_runs_identity(run_here: Runner, rows: Path) -> None:
    assert ask(run_here, rows, "limit=2", "probe_questions=0") == 0
    before, _ = job(rows)
    (rows / "train.jsonl").write_text("\n".join(json.dumps(row(n, "C")) for n in range(20, 60)), "utf-8")
    assert ask(run_here, rows, "limit=2", "probe_questions=0") == 0
    after, _ = job(rows)
    assert before.info.run_id != after.info.run_id
    assert before.data.tags["wattrack.run_key"] != after.data.tags["wattrack.run_key"]
    key = "dataset/prompt_sha256"
    assert before.data.params[key] != after.data.params[key]


def test_dry_run_shows_context_and_continuations(
    run_here: Runner, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(run_here, rows, "dry_run=true", "dataset.protocol=base0", "dataset.order=file", "limit=1") == 0
    assert capsys.readouterr().out.endswith(
        "first prompt (test-00000):\nQuestion: How many apples are 0 + 1?\nAnswer:\n"
        '[continuation] " 0 apples"\n[continuation] " 1 apples1 apples"\n'
        '[continuation] " 2 apples2 apples2 apples"\n'
    )


def test_an_engine_without_log_probabilities_is_refused_before_anything_runs(
    run_here: Runner, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(run_here, rows, "engine._target_=scripted.TextEngine") == 2
    assert "arc_challenge asks for log-probabilities, which TextEngine does not give" in capsys.readouterr().err


def test_random_weights_have_no_score_and_still_a_speed(run_here: Runner, rows: Path) -> None:
    assert ask(run_here, rows, "model.weights=random", "probe_questions=0", "dataset.protocol=base0") == 0
    run, folder = job(rows)
    assert "quality/score" not in run.data.metrics and "quality/acc_norm" not in run.data.metrics
    assert run.data.metrics["throughput/questions_per_s"] > 0
    assert pd.read_parquet(folder / "records.parquet")["score"].isna().all()
