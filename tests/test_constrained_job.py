"""Constrained decoding from the command to the store: another protocol with the same words, labelled, never merged."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support import Compose
from test_job import runs
from wattrack import cli
from wattrack.engines.hf import HFEngine
from wattrack.errors import ConfigError, DatasetError, EngineError
from wattrack.job.identity import run_key
from wattrack.job.plan import Plan
from wattrack.protocols import Capabilities
from wattrack.results.conditions import LATENCY, THROUGHPUT
from wattrack.settings import build, checks

Runner = Callable[..., int]


def settings(name: str) -> str:
    return f"dataset.protocols.constrained.prompt.{name}"


@pytest.mark.parametrize(("dataset", "free"), [("json_output", "free"), ("tool_calls", "json")])
def test_free_and_constrained_say_the_same_words_and_are_two_runs(composed: Compose, dataset: str, free: str) -> None:
    asked, keys = [], set()
    for protocol in (free, "constrained"):
        cfg = composed(f"dataset={dataset}", f"dataset.protocol={protocol}")
        checks.check(cfg)
        questions = build.task(cfg).questions(None, 0, 1)
        assert questions.facts.protocol.startswith(f"{dataset}/{protocol}@")
        keys.add(run_key(cfg, questions.facts, questions.prompt, None))
        asked.append(questions.requests)
    assert len(keys) == 2
    for one, other in zip(*asked, strict=True):
        assert (one.prompt, one.generation, one.seed) == (other.prompt, other.generation, other.seed)
        assert one.constraint is None and other.constraint is not None
        assert hash(one) == hash(other) and one != other


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([f"{settings('_target_')}=wattrack.prompts.tools.Tools"], "constrained: there is no such setting"),
        ([f"{settings('stop')}=[x]"], "the schema says where an answer ends"),
        ([f"{settings('fixed_length')}=true"], "the schema says where an answer ends"),
    ],
)
def test_settings_that_make_no_sense_are_refused(composed: Compose, overrides: list[str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        checks.check(composed("dataset=tool_calls", "dataset.protocol=constrained", *overrides))


def test_rows_without_a_schema_and_engines_without_masks_are_refused(
    composed: Compose, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cfg = composed("dataset=arithmetic", "dataset.protocols.chat.prompt.constrained=true")
    with pytest.raises(DatasetError, match="constrained decoding needs rows with a JSON Schema"):
        build.task(cfg).questions(1, 0, 1)
    cfg = composed("model=demo_xs", "dataset=json_output", "dataset.protocol=constrained")
    assert Plan.from_config(cfg, tmp_path, None).name == "demo_xs · json_output · constrained"
    monkeypatch.setattr("wattrack.engines.constrained.grammar.importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match="needs the package llguidance"):
        Plan.from_config(cfg, tmp_path, None)
    monkeypatch.setattr(HFEngine, "capabilities", Capabilities())
    with pytest.raises(ConfigError, match="HFEngine cannot constrain its answers: choose engine=hf"):
        Plan.from_config(cfg, tmp_path, None)


def test_a_dry_run_shows_the_constraint(run_here: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here("model=demo_xs", "dataset=json_output", "dataset.protocol=constrained", "dry_run=true") == 0
    assert '[constraint] {"' in capsys.readouterr().out


SCHEMAS = [
    {"enum": ["yes", "no"]},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3},
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 10, "maximum": 99}}, "required": ["n"],
     "additionalProperties": False},
    {"type": "string", "format": "date"},
    {"type": "string", "minLength": 900},
]  # fmt: skip


@pytest.mark.slow
def test_a_sweep_over_both_keeps_them_apart(
    run_here: Runner, outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = outputs / "rows"
    rows.mkdir()
    lines = [{"id": str(i), "kind": "k", "request": f"Say {i}.", "schema": s} for i, s in enumerate(SCHEMAS)]
    (rows / "test.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    common = ["model=demo_xs", "dataset=json_output", f"dataset.data_dir={rows}", "probe_questions=1"]
    short = [f"dataset.protocols.{name}.prompt.max_new_tokens=100" for name in ("free", "constrained")]
    assert run_here("-m", *common, *short, "dataset.protocol=free,constrained") == 0
    by_name = {run.data.params["dataset/protocol_id"]: run for run in runs(outputs, "json_output")}
    free, held = by_name["json_output/free@2"], by_name["json_output/constrained@1"]
    assert "effective/constraint" not in free.data.params
    assert "quality/grammar_complete_rate" not in free.data.metrics
    assert held.data.params["effective/constraint"].startswith("llguidance ")
    wanted = {"score": 0.8, "schema_valid": 0.8, "grammar_complete_rate": 0.8, "truncated_rate": 0.2}
    assert {name: held.data.metrics[f"quality/{name}"] for name in wanted} == wanted
    assert free.data.metrics["quality/score"] == 0
    for tag in (LATENCY, THROUGHPUT):
        assert '"constraint": "json_schema"' in held.data.tags[tag] and "constraint" not in free.data.tags[tag]
    printed = capsys.readouterr().out.replace("\n", " ")
    # Other questions' answers are another table, so nothing in one differs by constraint.
    assert "Comparison of json_output, free" in printed and "Comparison of json_output, constrained" in printed
    assert "constrained decoding differs" not in printed
    # What the answers are does not depend on who scores them.
    again = "dataset.protocols.constrained.headline=json_valid"
    assert cli.main(["score", held.info.run_id, f"dataset.data_dir={rows}", again]) == 0
    assert runs(outputs, "json_output")[0].data.metrics["quality/grammar_complete_rate"] == 0.8
