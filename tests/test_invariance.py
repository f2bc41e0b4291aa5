"""Answers and scores belong to their question, whatever the order, limit, batch, shard or repeat."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from own_rows import COUNT, STYLES
from scripted import TextEngine
from support import Compose, flat_response
from test_benchmark import Windows
from wattrack.answering import ALL, Load
from wattrack.engines.hf import HFEngine
from wattrack.job import grading, loop
from wattrack.prompts.seeds import derived_seed
from wattrack.protocols import Capabilities, Engine, Scorer
from wattrack.results.summary import quality
from wattrack.schema import ChoiceRequest, Record, Request, Response, Sample, Score
from wattrack.settings import build, checks
from wattrack.settings.prompting import protocol
from wattrack.tasks.task import Questions, Task

TIMES = ("latency_s", "ttft_s", "batch_size", "started_unix_ms")
NEW_TOKENS = 6
each_style = pytest.mark.parametrize("style", STYLES)
wild = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


class PromptEngine(TextEngine):
    """What it answers follows from what it is shown, and from the seed where it samples; it answers in reverse."""

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        self._texts = texts

    def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
        for r in reversed(requests):
            shown = repr(r.prompt)
            text = self._texts[derived_seed(shown, r.seed * (r.generation.temperature > 0)) % len(self._texts)]
            yield flat_response(
                sample_id=r.sample_id, repeat=r.repeat, text=text, finish_reason="stop", input_tokens=len(shown),
                output_tokens=1 + len(text), prompt_text=shown,
            )  # fmt: skip

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(loglikelihood=self.loglikelihood)

    def loglikelihood(self, requests: Sequence[ChoiceRequest], load: Load = ALL) -> Iterator[Response]:
        for r in reversed(requests):
            logprobs = [-1 - derived_seed(c.context, c.continuation) % 999 / 100 for c in r.candidates]
            best = max(range(len(logprobs)), key=logprobs.__getitem__)
            yield flat_response(
                sample_id=r.sample_id, repeat=r.repeat, text=r.candidates[best].continuation.strip(), output_tokens=0,
                finish_reason="stop", input_tokens=9, prompt_text=r.candidates[0].context, logprobs=tuple(logprobs),
            )  # fmt: skip


def task(composed: Compose, style: str, folder: Path, *overrides: str) -> Task:
    cfg = composed(f"dataset={STYLES[style].dataset}", "dataset.rows=null", *STYLES[style].settings, *overrides)
    cfg.dataset.data_dir = str(folder)
    prompt = protocol(cfg).prompt
    if prompt.get("max_new_tokens", 0) > NEW_TOKENS:
        prompt.max_new_tokens = NEW_TOKENS  # type: ignore[attr-defined]
    checks.check(cfg)
    built = build.task(cfg)
    # The same program is run once: a scorer is pure, and a process for each would take minutes.
    return replace(built, scorer=_remembering(built.scorer)) if built.sandbox is not None else built


_SCORES: dict[tuple[str, str], Score] = {}


def _remembering(scorer: Scorer) -> Scorer:
    def score(sample: Sample, response: Response) -> Score:
        key = (sample.question, response.text)
        if key not in _SCORES:
            _SCORES[key] = scorer(sample, response)
        return _SCORES[key]

    return score


def answered(engine: Engine, requests: Sequence[Request | ChoiceRequest]) -> list[Response]:
    return loop.collect(engine, requests, Windows(), [], lambda response: None)  # type: ignore[arg-type]


def recorded(asked: Task, questions: Questions, responses: Sequence[Response]) -> tuple[Record, ...]:
    return grading.records(questions.samples, responses, asked.score)


def run(asked: Task, engine: Engine, limit: int | None = None, repeats: int = 1) -> tuple[Record, ...]:
    questions = asked.questions(limit, 0, repeats)
    return recorded(asked, questions, answered(engine, questions.requests))


def plain(records: Sequence[Record], *without: str) -> list[str]:
    """Every field to the last digit, apart from times; as text, in which NaN equals NaN."""
    return [repr({k: v for k, v in asdict(r).items() if k not in (*TIMES, *without)}) for r in records]


def figures(asked: Task, records: Sequence[Record]) -> str:
    return repr({**quality(records), **(asked.aggregate(records) if asked.aggregate is not None else {})})


def scripted(style: str) -> PromptEngine:
    return PromptEngine(STYLES[style].texts)


def check_that_answers_differ(records: Sequence[Record]) -> None:
    """Otherwise nothing below could fail."""
    assert len({r.prompt_text for r in records}) == len(records) or len({r.logprobs for r in records}) > 1
    assert len({r.output for r in records}) > 1


@each_style
def test_the_order_of_the_rows_changes_no_answer(composed: Compose, tmp_path: Path, style: str) -> None:
    """Ids are places in the file, so that questions are told by their text."""
    found = []
    for name, order, overrides in (("a", 0, ()), ("b", 3, ()), ("c", 8, ("dataset.order=file",))):
        asked = task(composed, style, STYLES[style].write(tmp_path / name, order), *overrides)
        records = run(asked, scripted(style))
        check_that_answers_differ(records)
        found.append((plain(records, "id"), figures(asked, sorted(records, key=lambda r: (r.group or "", r.question)))))
    assert found[0][0] != found[1][0] or style == "turns", "asked in another order"
    assert len({tuple(sorted(records)) for records, _ in found}) == 1
    assert len({numbers for _, numbers in found}) == 1


@each_style
def test_a_limit_asks_the_first_questions_word_for_word(composed: Compose, tmp_path: Path, style: str) -> None:
    asked = task(composed, style, STYLES[style].write(tmp_path / "rows"))
    whole, all_records = asked.questions(None, 0, 1), run(asked, scripted(style))
    turns = len(whole.requests) // COUNT
    assert len(whole.requests) == len(all_records) == COUNT * turns
    for limit in range(1, COUNT + 1):
        some, records = asked.questions(limit, 0, 1), run(asked, scripted(style), limit)
        assert some.requests == whole.requests[: limit * turns]
        assert some.prompt.sha256() == whole.prompt.sha256()
        assert (some.facts.digest == whole.facts.digest) == (limit == COUNT)
        assert plain(records) == plain(all_records[: limit * turns])
        assert figures(asked, records) == figures(asked, all_records[: limit * turns])


def sharded(asked: Task, engine: Engine, questions: Questions, first: set[str]) -> tuple[Record, ...]:
    """Two processes' answers, each to its own conversations, put together in the order of the questions."""
    parts: tuple[list[Request | ChoiceRequest], ...] = ([], [])
    for request in questions.requests:
        parts[request.sample_id.split("-turn")[0] in first].append(request)
    found = {(r.sample_id, r.repeat): r for part in parts if part for r in answered(engine, part)}
    return recorded(asked, questions, [found[r.sample_id, r.repeat] for r in questions.requests])


@each_style
@wild
@given(data=st.data())
def test_shards_put_together_are_one_run(
    composed: Compose, tmp_path_factory: pytest.TempPathFactory, style: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("rows") / "rows"
    asked = task(composed, style, STYLES[style].write(folder))
    questions = asked.questions(data.draw(st.sampled_from([None, 3, 5])), 0, data.draw(st.integers(1, 3)))
    ids = sorted({r.sample_id.split("-turn")[0] for r in questions.requests})
    whole = recorded(asked, questions, answered(scripted(style), questions.requests))
    merged = sharded(asked, scripted(style), questions, data.draw(st.sets(st.sampled_from(ids))))
    assert merged == whole or plain(merged) == plain(whole)
    assert figures(asked, merged) == figures(asked, whole)


@each_style
def test_repeats_do_not_change_the_first_answer(composed: Compose, tmp_path: Path, style: str) -> None:
    asked = task(composed, style, STYLES[style].write(tmp_path / "rows"))
    once, thrice = run(asked, scripted(style)), run(asked, scripted(style), repeats=3)
    assert plain([r for r in thrice if r.repeat == 0]) == plain(once)
    sampled = {r.id for r in once if r.group in ("writing", "stem")}
    for record in thrice:
        greedy = plain([r for r in thrice if r.id == record.id], "repeat")
        assert record.id in sampled or len(set(greedy)) == 1


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[tuple[str, int], HFEngine]]:
    """The smallest demo model in fp32, by mode and rows in flight."""
    folder = build.model_location("embedded:demo_xs")
    found = {
        (mode, rows): HFEngine(model_id=folder, dtype="fp32", threads=1, mode=mode, batch_size=rows)
        for mode, rows in (("naive", 1), ("naive", 5), ("shared", 3))
    }
    for engine in found.values():
        engine.load()
    yield found
    for engine in found.values():
        engine.close()


Engines = dict[tuple[str, int], HFEngine]


def check_alike(found: Record, expected: Record) -> None:
    """In fp32 nothing moves, whatever is computed together, but the last digits of log-probabilities."""
    names = ("logprobs", "margin", "explanation")
    assert plain([found], *names) == plain([expected], *names)
    if expected.logprobs is None:
        assert found.explanation == expected.explanation
    else:
        assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)


@each_style
def test_a_real_model_answers_alike_in_any_batch(
    composed: Compose, tmp_path: Path, engines: Engines, style: str
) -> None:
    asked = task(composed, style, STYLES[style].write(tmp_path / "rows"))
    expected = run(asked, engines["naive", 1])
    assert not any(r.error for r in expected)
    check_that_answers_differ(expected)
    for engine in engines.values():
        for found, record in zip(run(asked, engine), expected, strict=True):
            check_alike(found, record)


@each_style
def test_a_real_model_s_shards_are_one_run(composed: Compose, tmp_path: Path, engines: Engines, style: str) -> None:
    """To the last digit, one at a time; in batches no answer may flip."""
    asked = task(composed, style, STYLES[style].write(tmp_path / "rows"))
    questions = asked.questions(None, 0, 1)
    first = {r.sample_id.split("-turn")[0] for r in questions.requests[::3]}
    serial, whole = engines["naive", 1], run(asked, engines["naive", 1])
    merged = sharded(asked, serial, questions, first)
    assert plain(merged) == plain(whole)
    assert figures(asked, merged) == figures(asked, whole)
    assert plain(run(asked, serial, 3)) == plain(whole[: 3 * len(whole) // COUNT])
    batched = sharded(asked, engines["shared", 3], questions, first)
    flips = [a.id for a, b in zip(batched, whole, strict=True) if (a.output, a.answer) != (b.output, b.answer)]
    assert not flips, f"flip rate {len(flips) / len(whole):.1%}: {flips}"
