"""A job whose answers are programs: run after everything that is measured, or refused before anything runs."""

import json
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest

from wattrack.job import loop
from wattrack.metrics.rows import METRICS
from wattrack.sandbox import check
from wattrack.sandbox.check import LEVELS, Sandbox

Runner = Callable[..., int]

ROWS = [
    {
        "task_id": f"HumanEval/{n}",
        "prompt": f'def add{n}(x):\n    """x + {n}"""\n',
        "canonical_solution": f"    return x + {n}\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {n + 1}\n",
        "entry_point": f"add{n}",
    }
    for n in range(4)
]


@pytest.fixture
def ask(run_here: Runner, outputs: Path) -> Runner:
    (outputs / "test.jsonl").write_text("\n".join(map(json.dumps, ROWS)), "utf-8")
    return lambda *overrides: run_here(
        "model=demo_xs", "dataset=humaneval", f"dataset.data_dir={outputs}", "dataset.rows=null",
        "engine._target_=scripted.TextEngine", "+engine.text='    return x + 1'", "probe_questions=0", *overrides,
    )  # fmt: skip


def test_programs_run_after_everything_measured(
    ask: Runner, outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring: list[str] = []
    ran: list[bool] = []
    collect, run = loop.collect, Sandbox.check

    def collecting(*args: object) -> object:
        measuring.append("generate")
        try:
            return collect(*args)  # type: ignore[arg-type]
        finally:
            measuring.clear()

    def checking(sandbox: Sandbox, program: check.Program) -> check.Verdict:
        ran.append(bool(measuring))
        return run(sandbox, program)

    monkeypatch.setattr(loop, "collect", collecting)
    monkeypatch.setattr(Sandbox, "check", checking)
    assert ask("repeats=5", "sandbox.allow=true") == 0
    assert ran and not any(ran)

    client = mlflow.MlflowClient(f"sqlite:///{outputs}/mlruns/mlflow.db")
    found = client.get_experiment_by_name("humaneval")
    assert found is not None
    (logged,) = client.search_runs([found.experiment_id], "tags.`wattrack.kind` = 'job'")
    assert logged.info.status == "FINISHED"
    assert logged.data.params["sandbox/isolation"] == check.strongest().name
    metrics = {k: v for k, v in logged.data.metrics.items() if not k.startswith("system/")}
    assert set(metrics) <= set(METRICS)
    for name in ("score", "pass_at_1", "pass_at_1_flexible", "pass_at_5"):
        assert metrics[f"quality/{name}"] == 0.25, name  # the one answer is right for add1 alone
    assert "quality/pass_at_10" not in metrics
    live = [line for line in capsys.readouterr().out.splitlines() if "20/20" in line]
    assert live and not any("score" in line for line in live)


def test_weak_isolation_is_refused_before_anything_runs(
    ask: Runner, outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "strongest", lambda: LEVELS[-1])
    assert ask() != 0
    assert "sandbox.allow=true" in capsys.readouterr().err
    (left,) = (outputs / "multirun").rglob("summary.json")
    assert json.loads(left.read_text("utf-8"))["status"] == "REFUSED"
    assert not list(left.parent.glob("responses.jsonl"))
