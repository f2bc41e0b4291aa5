"""What every engine promises, put to each of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripted import ChoiceEngine
from wattrack.answering import ALL, ONE, Load
from wattrack.engines.hf import HFEngine
from wattrack.engines.replay import ReplayEngine
from wattrack.errors import EngineError
from wattrack.journal import Journal
from wattrack.protocols import Engine
from wattrack.schema import Candidate, ChoiceRequest, Generation, Request
from wattrack.settings.build import model_location

ASKED = [
    Request(sample_id=str(n), repeat=0, prompt=f"Tom has {n} apples", generation=Generation(max_new_tokens=4), seed=n)
    for n in range(1, 4)
]
CHOICES = [
    ChoiceRequest(
        sample_id=f"c{n}", repeat=0,
        candidates=tuple(Candidate(context=f"Tom has {n}", continuation=f" {word}") for word in ("apples", "pears")),
    )
    for n in (1, 2)
]  # fmt: skip
Make = Callable[[Path], Engine]


def hf(mode: str) -> Make:
    return lambda folder: HFEngine(
        model_id=model_location("embedded:demo_xs"), device="cpu", dtype="fp32", threads=1, mode=mode, chat=False
    )


def replay(folder: Path) -> Engine:
    recorded = hf("shared")(folder)
    recorded.load()
    assert recorded.capabilities.loglikelihood is not None
    with Journal(folder / "recorded.jsonl") as journal:
        for response in (*recorded.generate(ASKED), *recorded.capabilities.loglikelihood(CHOICES, ALL)):
            journal.append(response)
    recorded.close()
    return ReplayEngine(str(folder / "recorded.jsonl"))


ENGINES: dict[str, Make] = {
    "hf shared": hf("shared"),
    "hf naive": hf("naive"),
    "replay": replay,
    "scripted": lambda folder: ChoiceEngine(),
}


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = ENGINES[request.param](tmp_path_factory.mktemp("engine"))
    made.check()
    made.load()
    yield made
    made.close()


def test_every_request_gets_one_answer_in_whatever_order(engine: Engine) -> None:
    for load in (ALL, ONE):
        found = list(engine.generate(ASKED, load))
        assert sorted(r.sample_id for r in found) == [r.sample_id for r in ASKED]
    assert [r.sample_id for r in engine.generate(ASKED, ONE)] == [r.sample_id for r in ASKED], "one after the other"
    assert list(engine.generate([])) == []


def test_counts_and_times_hold_together(engine: Engine) -> None:
    for response in engine.generate(ASKED):
        assert response.error is None
        usage, timing = response.usage, response.timing
        assert usage.input_tokens is not None and usage.output_tokens is not None
        assert list(timing.stamps_s) == sorted(timing.stamps_s)
        if timing.stamps_s and timing.stamps_of == "tokens":
            assert response.token_stamps_s == timing.stamps_s, "a stamp for each token that is counted"
        assert timing.done_s is not None and response.end_s is not None
        assert timing.done_s >= response.end_s


def test_capabilities_say_what_can_be_called(engine: Engine) -> None:
    loglikelihood = engine.capabilities.loglikelihood
    assert loglikelihood is not None
    for load in (ALL, ONE):
        found = list(loglikelihood(CHOICES, load))
        assert sorted(r.sample_id for r in found) == ["c1", "c2"]
        assert all(len(r.logprobs) == 2 and r.usage.output_tokens == 0 for r in found)


def test_the_identity_is_known_before_loading_and_stays(engine: Engine) -> None:
    assert engine.check().revision == engine.facts().revision
    assert engine.facts().mode


def test_a_request_that_cannot_be_answered_is_an_answer_with_an_error(engine: Engine) -> None:
    if engine.facts().mode == "scripted":
        pytest.skip("it answers whatever it is asked")
    bad = Request(sample_id="bad", repeat=0, prompt="", generation=Generation(max_new_tokens=4), seed=0)
    found = {r.sample_id: r for r in engine.generate([ASKED[0], bad, ASKED[1]])}
    assert found.keys() == {"1", "bad", "2"}
    assert found["bad"].error is not None and found["bad"].error_kind is not None and found["bad"].text == ""
    assert found["1"].error is None and found["2"].error is None


@pytest.mark.parametrize(
    "load",
    [Load(kind="closed", workers=2), Load(kind="open", rate_per_s=1.0, arrivals="poisson")],
    ids=["closed", "open"],
)
def test_a_load_that_the_engine_does_not_know_is_refused(engine: Engine, load: Load) -> None:
    if engine.facts().mode == "scripted":
        pytest.skip("its answers take no time under any load")
    with pytest.raises(EngineError, match=f"load=all or load=one, not {load.kind}"):
        list(engine.generate(ASKED, load))


@pytest.mark.parametrize("name", [name for name in ENGINES if name != "scripted"])
def test_what_is_not_loaded_says_so_and_closing_twice_is_fine(name: str, tmp_path: Path) -> None:
    engine = ENGINES[name](tmp_path)
    for call in (engine.facts, lambda: list(engine.generate(ASKED))):
        with pytest.raises(EngineError, match="not loaded: call load"):
            call()
    engine.load()
    engine.load()
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="not loaded"):
        list(engine.generate(ASKED))
