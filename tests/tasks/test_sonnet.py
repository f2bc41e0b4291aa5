"""The sonnet sampler: the same texts and lengths on every machine, exact in the engine, nothing that prompts share."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from engines.tiny_models import build_model
from support import Compose
from wattrack.engines.hf import HFEngine
from wattrack.engines.rows import common
from wattrack.prompts.lengths import drawn_length
from wattrack.prompts.seeds import derived_seed
from wattrack.schema import Request, Response
from wattrack.settings import build, checks
from wattrack.tasks import sonnet
from wattrack.tasks.task import Questions

SMALL = tuple(
    f"dataset.protocols.gaussian.prompt.{setting}"
    for setting in ("prompt_tokens=60", "prompt_tokens_stddev=20", "max_new_tokens=12", "max_new_tokens_stddev=6")
)
NAMES = ("prompt_tokens", "max_new_tokens")
LENGTHS = [
    ("test-00071", 0, 526, 178),
    ("test-00052", 0, 435, 51),
    ("test-00039", 0, 374, 132),
    ("test-00081", 0, 756, 175),
]
"""(text, repeat, prompt tokens, new tokens) of seed 0."""


def questions(
    composed: Compose, *overrides: str, limit: int | None = None, seed: int = 0, repeats: int = 1
) -> Questions:
    cfg = composed("dataset=sonnet", *overrides)
    checks.check(cfg)
    return build.task(cfg).questions(limit, seed, repeats)


def lengths(asked: Questions) -> list[tuple[str, int, int | None, int]]:
    return [
        (r.sample_id, r.repeat, r.prompt_tokens, r.generation.max_new_tokens)
        for r in asked.requests
        if isinstance(r, Request)
    ]


def test_the_shipped_lines_are_whole_sonnets() -> None:
    lines = sonnet.lines()
    assert len(lines) == len(set(lines)) == 12 * 14
    assert lines[0] == "From fairest creatures we desire increase,"
    assert all(
        (line.isascii() and line == line.strip() and line[-1].isalpha()) or line[-1] in ",.;:?!" for line in lines
    )


def test_texts_and_lengths_are_the_same_on_every_machine(composed: Compose) -> None:
    asked = questions(composed, limit=4)
    assert questions(composed).facts.digest[:16] == "ff735607520679eb"
    assert lengths(asked) == LENGTHS
    assert asked.requests[0].prompt.startswith("The sad account of fore-bemoaned moan,\nAnd summer's green")


def test_lengths_are_a_function_of_seed_text_and_repeat(composed: Compose) -> None:
    every = lengths(questions(composed, seed=3, repeats=2))
    assert sorted(every) == sorted(lengths(questions(composed, "dataset.order=file", seed=3, repeats=2)))
    assert set(lengths(questions(composed, limit=7, seed=3))) < set(every)
    assert len({(prompt, new) for _, _, prompt, new in every}) > 190
    other = lengths(questions(composed, seed=4, repeats=2))
    assert not set(every) & set(other)
    same = lengths(questions(composed, *(f"dataset.protocols.gaussian.prompt.{n}_stddev=0" for n in NAMES), repeats=2))
    assert {row[2:] for row in same} == {(550, 150)}


@given(st.integers(1, 10**6), st.floats(1e-6, 1e7), st.integers(0, 2**63 - 1))
def test_a_drawn_length_is_between_one_and_twice_the_mean(mean: int, stddev: float, seed: int) -> None:
    drawn = drawn_length(mean, stddev, seed)
    assert 1 <= drawn <= 2 * mean - 1
    assert drawn == drawn_length(mean, stddev, seed) >= drawn_length(mean, stddev, seed // 2)
    assert drawn + drawn_length(mean, stddev, 2**63 - 1 - seed) == 2 * mean


@pytest.mark.parametrize(("mean", "stddev"), [(550, 150), (150, 80), (12, 6), (100, 1000)])
def test_lengths_are_drawn_from_the_cut_gaussian(mean: int, stddev: float) -> None:
    drawn = [drawn_length(mean, stddev, derived_seed(n)) for n in range(4000)]
    bound = (mean - 0.5) / stddev
    cut = scipy.stats.truncnorm(-bound, bound, loc=mean, scale=stddev)
    # Whole numbers are compared in the middle between neighbours.
    edges = [-math.inf, *(round(cut.ppf(q)) + 0.5 for q in (0.05, 0.25, 0.5, 0.75, 0.95)), math.inf]
    expected = [4000 * (cut.cdf(b) - cut.cdf(a)) for a, b in pairwise(edges)]
    observed = [sum(a < n < b for n in drawn) for a, b in pairwise(edges)]
    assert scipy.stats.chisquare(observed, expected).pvalue > 0.001


def test_no_two_prompts_share_more_than_a_few_words(composed: Compose) -> None:
    prompts = [str(r.prompt) for r in questions(composed, repeats=3).requests if isinstance(r, Request)]
    assert len({p.split("\n")[0] for p in prompts[::3]}) == sonnet.TEXTS == len(prompts) / 3
    for some, lines in ((prompts[::3], 0), (prompts, 2)):
        ordered = sorted(some)
        assert max(a[: common(a, b)].count("\n") for a, b in pairwise(ordered)) <= lines


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sonnets")
    return {kind: build_model(root / kind, kind) for kind in ("qwen2", "llama")}


def answers(folder: Path, mode: str, requests: Sequence[Request]) -> tuple[list[Response], dict[str, object]]:
    engine = HFEngine(model_id=str(folder), dtype="fp32", batch_size=8, threads=1, mode=mode)
    engine.load()
    try:
        return list(engine.generate(requests)), engine.facts().params()
    finally:
        engine.close()


@pytest.mark.parametrize("mode", ["naive", "shared"])
@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_every_request_has_exactly_its_own_lengths(
    composed: Compose, folders: dict[str, Path], kind: str, mode: str
) -> None:
    asked = questions(composed, *SMALL, limit=12, repeats=2)
    wanted = {(i, repeat): (prompt, new) for i, repeat, prompt, new in lengths(asked)}
    assert len(set(wanted.values())) > 20
    found, facts = answers(folders[kind], mode, [r for r in asked.requests if isinstance(r, Request)])
    assert {(r.sample_id, r.repeat): (r.usage.input_tokens, r.usage.output_tokens) for r in found} == wanted
    assert {(r.error, r.finish_reason) for r in found} == {(None, "stop")}
    assert facts["effective/mode"] == mode and facts["tokens/shared"] == 0
    assert max(r.batch_size for r in found) == 8


def test_texts_of_ones_own_are_cut_to_drawn_lengths(composed: Compose, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Sing of rivers.\nDance.\n", "utf-8")
    asked = questions(composed, *SMALL, f"dataset.data_dir={tmp_path}", "dataset.order=file")
    assert [r.prompt for r in asked.requests if isinstance(r, Request)] == ["Sing of rivers.", "Dance."]
    assert len({row[2] for row in lengths(asked)}) == 2
