"""The run key moves with everything that can change an answer, and with nothing else."""

from dataclasses import replace

import pytest

from support import Compose
from wattrack.job.identity import canonical_json, job_name, run_key
from wattrack.schema import DatasetFacts
from wattrack.settings import build
from wattrack.settings.flat import flatten

FACTS = DatasetFacts(
    name="gsm8k",
    protocol="gsm8k/base@2",
    source="hub",
    config=None,
    split="test",
    revision=None,
    digest="d",
    rows=3,
)


def key(composed: Compose, *overrides: str, revision: str | None = None, digest: str = "d") -> str:
    cfg = composed("dataset=gsm8k", "model=qwen1_5b", *overrides)
    facts = replace(FACTS, source="elsewhere", digest=digest)
    return run_key(cfg, facts, build.task(cfg).prompt, revision)


@pytest.mark.parametrize(
    "override",
    ["model=qwen7b", "preset=performance", "seed=1", "limit=5", "repeats=2", "hardware.device=cpu",
     "hardware.threads=1", "dataset.protocol=chat", "dataset.protocols.base.prompt.max_new_tokens=9",
     "model.revision=abc"],
)  # fmt: skip
def test_it_moves(composed: Compose, override: str) -> None:
    assert key(composed, override) != key(composed)


@pytest.mark.parametrize(
    "override",
    ["name=other", "tracking.experiment=other", "probe_questions=3", "hardware.hourly_usd=2", "dataset.data_dir=/tmp",
     "hardware.name=mine"],
)  # fmt: skip
def test_it_stays(composed: Compose, override: str) -> None:
    assert key(composed, override) == key(composed)


def test_rows_and_resolved_revision_count(composed: Compose) -> None:
    assert key(composed, digest="e") != key(composed)
    assert key(composed, revision="abc") == key(composed, "model.revision=main", revision="abc")
    assert key(composed, revision="abc") != key(composed)


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ("", "demo_s · arithmetic"),
        ("dataset=gsm8k dataset.protocol=base", "demo_s · gsm8k"),
        ("dataset=gsm8k dataset.protocol=chat", "demo_s · gsm8k · chat"),
        ("dataset=json_output dataset.protocol=constrained", "demo_s · json_output · constrained"),
        ("preset=memory_optimized engine.mode=naive", "demo_s · arithmetic · memory_optimized · naive"),
        ("model.weights=random", "demo_s · arithmetic · random weights"),
        ("engine.mode=naive name=mine", "mine"),
    ],
)
def test_a_name_says_what_is_unusual(composed: Compose, overrides: str, name: str) -> None:
    assert job_name(composed(*overrides.split())) == name


def test_a_name_says_what_its_sweep_varies(composed: Compose) -> None:
    cfg = composed("limit=5", "preset.dtype=fp32", "engine.mode=naive")
    swept = ("model", "engine.mode", "limit", "preset.dtype", "preset.batch_size", "hardware")
    assert job_name(cfg, swept) == "demo_s · arithmetic · naive · limit 5 · dtype fp32 · batch_size null · auto"


def test_canonical_json_ignores_order() -> None:
    assert canonical_json({"b": 1, "a": [1, {"d": 2, "c": 3}]}) == '{"a":[1,{"c":3,"d":2}],"b":1}'


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": None}}, "e": [1]}) == {"a/b": 1, "a/c/d": None, "e": [1]}
