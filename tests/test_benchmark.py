"""The measured loop with a replayed engine: order, completeness, journal, windows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from scripted import ChoiceEngine, TextEngine
from support import flat_response
from wattrack.answering import ALL, Load
from wattrack.engines.replay import ReplayEngine
from wattrack.errors import EngineError
from wattrack.facts import EngineFacts, EngineIdentity
from wattrack.job.grading import score_all
from wattrack.job.loop import collect, latency_probe, warm_up
from wattrack.journal import Journal, read_journal
from wattrack.protocols import Capabilities
from wattrack.schema import Candidate, ChoiceRequest, Generation, Request, Response, Sample, Score
from wattrack.scorers import choice


class Windows:
    """Notes which windows were opened and closed."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @contextmanager
    def window(self, name: str) -> Iterator[None]:
        self.seen.append(f"open {name}")
        try:
            yield
        finally:
            self.seen.append(f"close {name}")


def request(sample_id: str) -> Request:
    return Request(sample_id=sample_id, repeat=0, prompt="?", generation=Generation(max_new_tokens=99), seed=0)


def response(sample_id: str, text: str = "#### 1") -> Response:
    return flat_response(
        sample_id=sample_id, repeat=0, text=text, finish_reason="stop", input_tokens=3, output_tokens=2
    )


@pytest.fixture
def engine(tmp_path: Path) -> ReplayEngine:
    with Journal(tmp_path / "recorded.jsonl") as journal:
        for name in "cab":  # an engine may answer in any order
            journal.append(response(name))
    replay = ReplayEngine(str(tmp_path / "recorded.jsonl"))
    replay.load()
    return replay


def test_collect_returns_request_order_and_journals_everything(engine: ReplayEngine, tmp_path: Path) -> None:
    meter, seen = Windows(), []
    with Journal(tmp_path / "responses.jsonl") as journal:
        found = collect(engine, [request(n) for n in "abc"], meter, journal, lambda r: seen.append(r.sample_id))
    assert [r.sample_id for r in found] == ["a", "b", "c"]
    assert meter.seen == ["open generate", "close generate"]
    assert sorted(seen) == ["a", "b", "c"]
    assert sorted(r.sample_id for r in read_journal(tmp_path / "responses.jsonl")) == ["a", "b", "c"]


class Forgetful:
    """Leaves out the last request."""

    computed_tokens = 0

    capabilities = Capabilities()

    def check(self) -> EngineIdentity:
        return EngineIdentity(model="forgetful", revision=None)

    def load(self) -> EngineFacts:
        return self.facts()

    def facts(self) -> EngineFacts:
        return EngineFacts(mode="forgetful")

    def close(self) -> None: ...
    def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
        yield from (response(r.sample_id) for r in requests[:-1])


def test_a_missing_answer_is_an_engine_error(tmp_path: Path) -> None:
    with Journal(tmp_path / "r.jsonl") as journal, pytest.raises(EngineError, match="answered 1 of 2"):
        collect(Forgetful(), [request("a"), request("b")], Windows(), journal, lambda r: None)
    assert len(read_journal(tmp_path / "r.jsonl")) == 1  # what was finished is on disk


def test_a_job_whose_every_question_failed_has_no_score(tmp_path: Path) -> None:
    class Broken(Forgetful):
        def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
            yield from (
                replace(response(r.sample_id), error="prompt too long", error_kind="too_long") for r in requests
            )

    with (
        Journal(tmp_path / "r.jsonl") as journal,
        pytest.raises(EngineError, match="none of the 2 questions could be answered; the first: prompt too long"),
    ):
        collect(Broken(), [request("a"), request("b")], Windows(), journal, lambda r: None)


def test_probe_asks_one_at_a_time_and_no_probe_opens_no_window(engine: ReplayEngine) -> None:
    meter = Windows()
    assert [r.sample_id for r in latency_probe(engine, [request("b"), request("a")], meter)] == ["b", "a"]
    assert latency_probe(engine, [], meter) == []
    assert meter.seen == ["open probe", "close probe"]


def test_warm_up_is_short(engine: ReplayEngine) -> None:
    lengths: list[int] = []

    class Spy(Forgetful):
        def generate(self, requests: Sequence[Request], load: Load = ALL) -> Iterator[Response]:
            lengths.extend(r.generation.max_new_tokens for r in requests)
            yield from ()

    warm_up(Spy(), [request(n) for n in "abc"], Windows())
    assert lengths == [8, 8, 8]  # a batch, then one alone


def test_score_all_keeps_order_and_fields() -> None:
    samples = [Sample(id=n, question=f"{n}?", target="1", group="g") for n in "ab"]
    records = score_all(
        samples,
        [response("b"), response("a", "")],
        lambda s, r: Score(value=0.5, answer=r.text or None),
        Windows(),
    )
    assert [(r.id, r.question, r.score, r.answer, r.group) for r in records] == [
        ("b", "b?", 0.5, "#### 1", "g"),
        ("a", "a?", 0.5, None, "g"),
    ]


def choice_request(sample_id: str) -> ChoiceRequest:
    candidates = tuple(Candidate(context="Q:", continuation=f" {text}") for text in ("ab", "abcdefgh"))
    return ChoiceRequest(sample_id=sample_id, repeat=0, candidates=candidates)


def test_choices_go_to_loglikelihood_and_the_rest_to_generate(tmp_path: Path) -> None:
    engine = ChoiceEngine()
    with Journal(tmp_path / "r.jsonl") as journal:
        asked = [choice_request("a"), request("b"), choice_request("c")]
        found = collect(engine, asked, Windows(), journal, lambda r: None)
    assert [(r.sample_id, len(r.logprobs), r.usage.output_tokens) for r in found] == [
        ("a", 2, 0),
        ("b", 0, 2),
        ("c", 2, 0),
    ]
    assert engine.asked == [2, 1]
    assert sorted(read_journal(tmp_path / "r.jsonl"), key=lambda r: r.sample_id) == found


def test_choices_are_probed_one_at_a_time_and_warmed_up_as_they_are() -> None:
    engine = ChoiceEngine()
    requests = [choice_request(n) for n in "abc"]
    assert [r.sample_id for r in latency_probe(engine, requests, Windows())] == ["a", "b", "c"]
    warm_up(engine, requests, Windows())
    assert engine.asked == [1, 1, 1, 2, 1]


def test_an_engine_without_log_probabilities_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "r.jsonl") as journal, pytest.raises(EngineError, match="TextEngine gives no log-prob"):
        collect(TextEngine(), [choice_request("a")], Windows(), journal, lambda r: None)


def test_a_choices_record_shows_the_chosen_text_and_how_close_it_was() -> None:
    sample = Sample(id="a", question="Q?", target="B", choices=("ab", "abcdefgh"), labels=("A", "B"))
    (answered,) = ChoiceEngine(choice=0, lead=0.5).loglikelihood([choice_request("a")])
    (row,) = score_all([sample], [answered], choice.score, Windows())
    assert (row.question, row.output, row.answer, row.target) == ("Q?\nA. ab\nB. abcdefgh", "ab", "A", "B")
    assert (row.logprobs, row.margin, row.merged_boundaries, row.ttft_s) == ((-3.0, -3.5), 0.5, 0, None)

    def normed(s: Sample, r: Response) -> Score:
        return choice.score(s, r, by="acc_norm", normalised=True)

    (row,) = score_all([sample], [answered], normed, Windows())
    assert (row.output, row.answer, row.score) == ("abcdefgh", "B", 1.0)
    failed = replace(answered, error="too long", error_kind="too_long", text="", logprobs=())
    (row,) = score_all([sample], [failed], choice.score, Windows())
    assert (row.output, row.answer, row.logprobs, row.margin, row.merged_boundaries) == ("", None, None, None, None)
