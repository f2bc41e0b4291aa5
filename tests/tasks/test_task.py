"""Order, limits, identity and scoring of a task."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import flat_response
from wattrack.errors import DatasetError
from wattrack.prompts.chat import Chat
from wattrack.schema import Sample
from wattrack.scorers import number
from wattrack.tasks.gsm8k import to_sample
from wattrack.tasks.task import Source, Task, digest, shuffle


def _task(folder: Path, order: str = "shuffled") -> Task:
    return Task(
        source=Source(name="gsm8k", split="test", data_dir=folder),
        to_sample=to_sample,
        prompt=Chat(max_new_tokens=8),
        scorer=partial(number.score, marker="####"),
        headline="exact_match_flexible",
        protocol="gsm8k/chat@2",
        order=order,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [f'{{"question": "What is {i} + 1?", "answer": "#### {i + 1}"}}' for i in range(30)]
    (tmp_path / "test.jsonl").write_text("\n".join(lines), "utf-8")
    return tmp_path


def test_limits_nest(folder: Path) -> None:
    task = _task(folder)
    ten, facts = task.samples(10, seed=3)
    twenty, _ = task.samples(20, seed=3)
    assert twenty[:10] == ten
    assert facts.rows == 10
    assert sorted(s.id for s in task.samples(None, seed=3)[0]) == sorted(f"test-{i:05d}" for i in range(30))


def test_file_order_and_seeds(folder: Path) -> None:
    in_file, _ = _task(folder, "file").samples(None, seed=3)
    assert [s.id for s in in_file] == [f"test-{i:05d}" for i in range(30)]
    three, four = (_task(folder).samples(None, seed=seed)[0] for seed in (3, 4))
    assert three != four
    assert three != in_file


def test_digest_names_the_rows(folder: Path) -> None:
    task = _task(folder)
    assert task.samples(5, 0)[1].digest == task.samples(5, 0)[1].digest
    assert task.samples(5, 0)[1].digest != task.samples(6, 0)[1].digest


def test_a_bad_row_is_named_with_file_and_line(folder: Path) -> None:
    with (folder / "test.jsonl").open("a") as stream:
        stream.write('\n{"question": "no answer?", "answer": "twelve"}\n')
    with pytest.raises(DatasetError, match=r"test\.jsonl:31: `answer` must be a string that ends in '#### NUMBER'"):
        _task(folder).samples(None, 0)


def test_headline_decides_and_failures_score_zero(folder: Path) -> None:
    task = _task(folder)
    sample = Sample(id="a", question="?", target="7")
    answered = flat_response(sample_id="a", repeat=0, text="7", finish_reason="stop", input_tokens=1, output_tokens=1)
    failed = flat_response(
        sample_id="a",
        repeat=0,
        text="",
        finish_reason="error",
        input_tokens=0,
        output_tokens=0,
        error="too long",
    )
    assert task.score(sample, answered).value == 1.0  # flexible, although strict is 0
    verdict = task.score(sample, failed)
    assert (verdict.value, verdict.answer) == (0.0, None)
    assert verdict.metrics == {"exact_match_strict": 0.0, "exact_match_flexible": 0.0, "format_compliance": 0.0}


def test_requests_differ_only_in_seed_between_repeats(folder: Path) -> None:
    task = _task(folder)
    samples, _ = task.samples(2, 0)
    requests = task.requests(samples, seed=0, repeats=2)
    assert [(r.sample_id, r.repeat) for r in requests] == [(s.id, k) for s in samples for k in (0, 1)]
    assert requests[0].prompt == requests[1].prompt
    assert requests[0].seed != requests[1].seed


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(0, 5))
def test_every_prefix_is_stratified(groups: list[str], seed: int) -> None:
    samples = [Sample(id=str(i), question="?", target="1", group=g) for i, g in enumerate(groups)]
    order = shuffle(samples, seed)
    assert Counter(order) == Counter(samples)
    sizes = Counter(groups)
    for n in range(1, len(order) + 1):
        seen = Counter(s.group for s in order[:n])
        for group, size in sizes.items():
            assert abs(seen[group] - n * size / len(groups)) <= len(sizes)


def test_digest_depends_on_order_and_content() -> None:
    a, b = (Sample(id=i, question="?", target="1") for i in "ab")
    assert digest([a, b]) != digest([b, a])


SHARED = Path(__file__).parents[3] / "shared" / "data" / "gsm8k"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the verification rows are not beside this checkout")
def test_real_rows() -> None:
    for split, rows in (("test", 1319), ("train", 7473)):
        source = Source(name="gsm8k", split=split, data_dir=SHARED, rows=rows)
        task = _task(SHARED)
        samples = [to_sample(where, row) for where, row in source.load()[0]]
        assert len(samples) == rows
        for sample in samples:
            perfect = flat_response(
                sample_id=sample.id, repeat=0, text=f"so\n#### {sample.target}", finish_reason="stop",
                input_tokens=1, output_tokens=1,
            )  # fmt: skip
            assert task.score(sample, perfect).metrics == {
                "exact_match_strict": 1.0,
                "exact_match_flexible": 1.0,
                "format_compliance": 1.0,
            }
