"""responses.jsonl survives every text and every crash; the replay engine answers from it."""

import json
import logging
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.tiny_models import ask, ask_choices
from support import CHECKOUT, flat_response
from wattrack.engines.replay import ReplayEngine
from wattrack.errors import DatasetError, EngineError
from wattrack.journal import Journal, read_journal, response_from_json, response_to_json
from wattrack.schema import Response

wild_text = st.text(st.characters() | st.sampled_from('\n\r\x0b\x0c\x1c\x1e\x85\u2028\u2029\ud800"\\\x00')) | st.just(
    "a\u2028b"
)
seconds = st.floats(min_value=0, max_value=1e9)
responses = st.builds(
    flat_response,
    sample_id=wild_text,
    repeat=st.integers(0, 9),
    text=wild_text,
    finish_reason=st.sampled_from(["stop", "length", "error"]),
    input_tokens=st.none() | st.integers(0, 10**6),
    output_tokens=st.integers(5, 10**6),
    token_times_s=st.lists(seconds, max_size=4).map(sorted).map(tuple),
    latency_s=st.none() | seconds,
    batch_size=st.integers(1, 512),
    error=st.none() | wild_text,
    prompt_text=wild_text,
    started_unix_ms=st.integers(0, 2**43),
    logprobs=st.lists(st.floats(max_value=0, allow_nan=False), max_size=4).map(tuple),
    merged_boundaries=st.integers(0, 5),
    thinking_tokens=st.none() | st.integers(0, 5),
)


def answered(sample_id: str = "q", repeat: int = 0, text: str = "17") -> Response:
    """A plain response."""
    return flat_response(
        sample_id=sample_id, repeat=repeat, text=text, finish_reason="stop", input_tokens=3, output_tokens=2
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
@given(written=st.lists(responses, max_size=4))
def test_what_is_written_is_read(tmp_path: Path, written: list[Response]) -> None:
    path = tmp_path / "responses.jsonl"
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        for response in written:
            journal.append(response)
            assert read_journal(path)[-1] == response, "on disk when append returns"
    assert read_journal(path) == written
    assert path.read_text(encoding="utf-8").count("\n") == len(written) == len(path.read_text().splitlines())
    for response in written:
        assert math.isclose(
            sum(response.timing.stamps_s), sum(response_from_json(response_to_json(response)).timing.stamps_s)
        )


def test_a_line_cut_by_a_crash_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "responses.jsonl"
    with Journal(path) as journal:
        journal.append(answered("a"))
        journal.append(answered("b"))
    path.write_bytes(path.read_bytes()[:-20])
    with caplog.at_level(logging.WARNING):
        assert read_journal(path) == [answered("a")]
    assert "cut off" in caplog.text


def test_a_journal_starts_with_what_is_carried_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    with Journal(path) as journal:
        journal.append(answered("another job's"))
    with Journal(path, [answered("a")]) as journal:
        assert read_journal(path) == [answered("a")], "before anything is answered"
        journal.append(answered("b"))
    assert read_journal(path) == [answered("a"), answered("b")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[1]", "expected a JSON object, got list"),
        ("{}", "missing finish_reason, repeat, sample_id, text"),
        ({"sample_id": 3}, "sample_id cannot be 3"),
        ({"repeat": True}, "repeat cannot be True"),
        ({"finish_reason": "bored"}, "finish_reason cannot be 'bored'"),
        ({"token_times_s": ["x"]}, "stamps_s must hold numbers"),
        ({"logprobs": [-1.0, "x"]}, "logprobs must hold numbers"),
        ({"logprobs": -1.0}, "logprobs cannot be -1.0"),
        ({"merged_boundaries": None}, "merged_boundaries cannot be None"),
        ({"thinking_tokens": 1.5}, "reasoning_tokens cannot be 1.5"),
        ({"colour": "red"}, "unknown field colour"),
    ],
)
def test_other_damage_is_named_with_file_and_line(tmp_path: Path, line: str | dict[str, object], reason: str) -> None:
    path = tmp_path / "responses.jsonl"
    good = response_to_json(answered())
    bad = line if isinstance(line, str) else json.dumps({**json.loads(good), **line})
    path.write_text(f"{good}\n{bad}\n{good}\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"responses\.jsonl:2: ") as caught:
        read_journal(path)
    assert reason in str(caught.value)


def test_fields_with_defaults_may_be_absent() -> None:
    full = json.loads(response_to_json(answered()))
    short = {key: full[key] for key in ("sample_id", "repeat", "text", "finish_reason", "usage")}
    assert response_from_json(json.dumps(short)) == answered()


def test_a_missing_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.jsonl: cannot be read"):
        read_journal(tmp_path / "gone.jsonl")
    with pytest.raises(EngineError, match=r"cannot replay: .*gone\.jsonl"):
        ReplayEngine(str(tmp_path / "gone.jsonl")).check()


def test_replay_answers_by_question_and_repeat(tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    with Journal(path) as journal:
        for response in (answered("a", 0, "old"), answered("a", 1, "second"), answered("a", 0, "new")):
            journal.append(response)
    engine = ReplayEngine(str(path))
    with pytest.raises(EngineError, match="not loaded"):
        list(engine.generate([ask("?", "a")]))
    assert engine.load().shown["replay/responses"] == 2
    first, second, unknown = engine.generate([ask("?", "a"), ask("?", "a", repeat=1), ask("?", "b")])
    assert (first.text, second.text) == ("new", "second")
    assert unknown.finish_reason == "error" and "no recorded response for b" in str(unknown.error)
    engine.close()
    engine.close()


def test_replay_answers_choices_that_were_recorded_with_log_probabilities(tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    with Journal(path) as journal:
        journal.append(replace(answered("a", 0, "x"), logprobs=(-1.0, -math.inf)))
        journal.append(answered("text", 0, "no choices"))
    engine = ReplayEngine(str(path))
    engine.load()
    assert engine.capabilities.loglikelihood is not None
    asked = [ask_choices("?", ["x", "y"], sample_id) for sample_id in ("a", "text", "gone")]
    known, without, unknown = engine.loglikelihood(asked)
    assert known.logprobs == (-1.0, -math.inf) and known.error is None
    assert "0 log-probabilities for 2 candidates for text" in str(without.error)
    assert "no recorded response for gone" in str(unknown.error)


def test_lines_of_the_landed_version_are_read() -> None:
    found = read_journal(CHECKOUT / "tests" / "fixtures" / "old_runs" / "arithmetic" / "responses.jsonl")
    assert len(found) == 4
    for response in found:
        assert response.usage.output_tokens == len(response.token_stamps_s) > 0
        assert response.timing.done_s == response.end_s
        assert response.timing.sent_unix_ms > 0
    old = json.loads(response_to_json(answered()))
    del old["usage"], old["timing"], old["error_kind"]
    failed = response_from_json(json.dumps({**old, "error": "out of memory", "input_tokens": 3, "output_tokens": 0}))
    assert (failed.error_kind, failed.usage.input_tokens) == ("broken", 3)
