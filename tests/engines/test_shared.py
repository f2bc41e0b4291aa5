"""Mode `shared` against mode `naive` and against a loop without cache or batch: the same answers in fp32."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.tiny_models import ask, ask_choices
from wattrack.engines.hf import HFEngine
from wattrack.engines.sharing.rolling import Going
from wattrack.schema import ChoiceRequest, Response

SHARING = ["qwen2", "llama", "qwen3", "gemma2_wide", "gemma3", "phi3", "mixtral", "qwen3_moe", "gpt2"]
"""Architectures whose prefixes are shared."""
FALLING_BACK = {
    "gemma2": "sliding window of 16",
    "mistral": "sliding window of 48",
    "long_rope": "dynamic rotary embeddings",
    "phi3_long": "longrope rotary embeddings",
    "mamba": "layers of linear_attention",
}
"""Architectures that must not share here, and why."""
HEAD = "Question: Tom has 3 apples and buys 14 more. How many apples?\nAnswer: He has 3+14=17 apples. #### 17\n"
CHARACTERS = "Tomabps 0123é東\n?"

texts = st.lists(st.text(CHARACTERS, min_size=1, max_size=40), min_size=1, max_size=7)
heads = st.sampled_from(["", "Tom", HEAD])
relaxed = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


class Pair:
    """The same checkpoint in both modes."""

    def __init__(self, folder: Path) -> None:
        options = {"model_id": str(folder), "dtype": "fp32", "threads": 1}
        self.shared, self.naive = (HFEngine(**options, mode=mode) for mode in ("shared", "naive"))
        for engine in (self.shared, self.naive):
            engine.load()
            engine.self_test()

    def close(self) -> None:
        self.shared.close()
        self.naive.close()


@pytest.fixture(scope="module")
def pairs(folders: dict[str, Path]) -> Iterator[dict[str, Pair]]:
    """Both modes of every architecture, loaded on first use."""
    found: dict[str, Pair] = {}

    class Pairs(dict[str, Pair]):
        def __missing__(self, kind: str) -> Pair:
            found[kind] = self[kind] = Pair(folders[kind])
            return found[kind]

    yield Pairs()
    for pair in found.values():
        pair.close()


def batch_size(engine: HFEngine, rows: int) -> None:
    """Set what a user sets by preset.batch_size."""
    from dataclasses import replace

    engine._settings = replace(engine._settings, batch_size=rows)


def by_id(responses: Iterator[Response]) -> dict[str, Response]:
    return {response.sample_id: response for response in responses}


def comparable(response: Response) -> tuple[object, ...]:
    """Everything that does not depend on time or on neighbours."""
    return (
        response.text,
        response.finish_reason,
        response.usage.input_tokens,
        response.usage.output_tokens,
        response.prompt_text,
        response.error,
    )


@pytest.mark.parametrize("kind", SHARING)
@relaxed
@given(head=heads, tails=texts, rows=st.sampled_from([1, 2, 5]), stop=st.sampled_from([(), ("T",), ("ap", "3")]))
def test_greedy_answers_equal_naive_ones(
    pairs: dict[str, Pair], kind: str, head: str, tails: list[str], rows: int, stop: tuple[str, ...]
) -> None:
    pair = pairs[kind]
    batch_size(pair.shared, rows)
    requests = [ask(head + tail, str(i), stop=stop) for i, tail in enumerate(tails)]
    shared, naive = by_id(pair.shared.generate(requests)), by_id(pair.naive.generate(requests))
    assert {i: comparable(r) for i, r in shared.items()} == {i: comparable(r) for i, r in naive.items()}
    assert pair.shared.facts().params()["effective/mode"] == "shared"
    for response in shared.values():
        assert response.batch_size <= rows
        assert len(response.timing.stamps_s) in (0, response.usage.output_tokens)


choice_sets = st.lists(st.sampled_from([" yes", " no", " 17 apples", " été", "3", " Tom"]), min_size=1, max_size=4)


def plain_logprobs(engine: HFEngine, request: ChoiceRequest) -> list[float]:
    """One full forward pass per candidate; the tokenizer's cut is checked elsewhere."""
    loaded, renderer = engine._ready()
    [row], _ = renderer.choices([request])
    values = []
    with torch.no_grad():
        for option in row.options:
            logits = loaded.model(torch.tensor([option.ids])).logits[0].float().log_softmax(-1)
            places = range(option.start - 1, len(option.ids) - 1)
            values.append(sum(float(logits[i, option.ids[i + 1]]) for i in places))
    return values


@pytest.mark.parametrize("kind", SHARING)
@relaxed
@given(head=heads, tails=texts, endings=choice_sets, budget=st.sampled_from([1, 60, 1000]))
def test_log_probabilities_equal_plain_passes(
    pairs: dict[str, Pair], kind: str, head: str, tails: list[str], endings: list[str], budget: int
) -> None:
    pair = pairs[kind]
    requests = [ask_choices(head + tail, endings, str(i)) for i, tail in enumerate([*tails, " "])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wattrack.engines.sharing.limits.PASS_TOKENS", {"cpu": budget})
        patch.setattr("wattrack.engines.sharing.limits._LEAST_PASS_TOKENS", 1)
        shared = by_id(pair.shared.loglikelihood(requests))
    naive = by_id(pair.naive.loglikelihood(requests))
    for request in requests:
        one, other = shared[request.sample_id], naive[request.sample_id]
        if one.error is not None:  # a context of one blank may merge away as a whole
            assert one.error == other.error and "no token before its continuation" in one.error
            continue
        expected = plain_logprobs(pair.naive, request)
        assert one.logprobs == pytest.approx(expected, abs=1e-4)
        assert other.logprobs == pytest.approx(expected, abs=1e-4)
        assert comparable(one) == comparable(other) or len(set(endings)) < len(endings)
        assert one.usage.output_tokens == 0 and one.finish_reason == "stop"


def test_contexts_of_one_question_may_differ(pairs: dict[str, Pair]) -> None:
    """Partial evaluation (WinoGrande): the continuation is the same, the contexts are not."""
    from wattrack.schema import Candidate

    candidates = tuple(Candidate(context=HEAD + name, continuation=" has 3 apples") for name in ("Tom", "apples", "17"))
    requests = [ChoiceRequest(sample_id=str(i), repeat=0, candidates=candidates[: i + 1]) for i in range(3)]
    for kind in SHARING:
        shared = by_id(pairs[kind].shared.loglikelihood(requests))
        for request in requests:
            expected = plain_logprobs(pairs[kind].naive, request)
            assert shared[request.sample_id].logprobs == pytest.approx(expected, abs=1e-4)


def computed(engine: HFEngine, requests: Sequence[object]) -> int:
    before = engine.computed_tokens
    ask_for = engine.loglikelihood if isinstance(requests[0], ChoiceRequest) else engine.generate
    for _ in ask_for(requests):  # type: ignore[operator]
        pass
    return engine.computed_tokens - before


def test_a_prefix_is_computed_once(pairs: dict[str, Pair]) -> None:
    pair = pairs["qwen2"]
    tokenizer = pair.naive._ready()[0].tokenizer
    head, tails = len(tokenizer(HEAD)["input_ids"]), ["a", "b", "é", "0"]
    questions = [ask_choices(HEAD + tail, ["3", "1"], tail) for tail in tails]
    own = sum(len(tokenizer(HEAD + tail)["input_ids"]) - head for tail in tails)
    assert computed(pair.shared, questions) == head + own
    assert computed(pair.naive, questions) == 2 * (len(tails) * head + own)


def test_identical_greedy_requests_are_computed_once(pairs: dict[str, Pair]) -> None:
    engine = pairs["qwen2"].shared
    batch_size(engine, 4)
    one = computed(engine, [ask("Tom has", "0")])
    requests = [ask("Tom has", str(i)) for i in range(5)]
    assert computed(engine, requests) == one
    responses = list(engine.generate(requests))
    assert len({r.text for r in responses}) == 1 and len({r.sample_id for r in responses}) == 5
    assert sorted(r.timing.done_s is None for r in responses) == [False, True, True, True, True]
    repeated = [replace(ask("Tom has", "0"), repeat=i) for i in range(5)]
    assert computed(engine, repeated) > 2 * one
    sampled = [ask("Tom has", str(i), seed=i, temperature=1.0) for i in range(5)]
    assert computed(engine, sampled) > 2 * one


def test_sampled_answers_are_those_of_mode_naive(pairs: dict[str, Pair]) -> None:
    pair = pairs["llama"]
    batch_size(pair.shared, 3)
    requests = [ask(HEAD + tail, tail, seed=i, temperature=1.0, top_p=0.9) for i, tail in enumerate("abéT0")]
    shared, naive = by_id(pair.shared.generate(requests)), by_id(pair.naive.generate(requests))
    assert {i: r.text for i, r in shared.items()} == {i: r.text for i, r in naive.items()}


@pytest.mark.parametrize(("kind", "reason"), FALLING_BACK.items())
def test_what_cannot_share_falls_back_with_the_reason(pairs: dict[str, Pair], kind: str, reason: str) -> None:
    pair = pairs[kind]
    requests = [ask(HEAD + tail, tail) for tail in "abé"]
    shared, naive = by_id(pair.shared.generate(requests)), by_id(pair.naive.generate(requests))
    assert {i: comparable(r) for i, r in shared.items()} == {i: comparable(r) for i, r in naive.items()}
    facts = pair.shared.facts().params()
    assert facts["effective/mode"] == "naive" and reason in str(facts["effective/mode_reason"])
    assert reason in str(facts["effective/fallbacks"])


@pytest.mark.parametrize("kind", SHARING)
def test_the_self_test_passes(pairs: dict[str, Pair], kind: str) -> None:
    facts = pairs[kind].shared.facts().params()
    assert facts["selftest/passed"] is True and facts["selftest/items"] == 4
    assert float(str(facts["selftest/largest_logprob_difference"])) < 1e-3
    assert "selftest/passed" not in pairs[kind].naive.facts().params()


@pytest.mark.parametrize("fault", ["prefix", "own"])
def test_the_self_test_finds_a_wrong_attention(
    folders: dict[str, Path], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wattrack.engines.sharing import attention

    honest = attention.merge
    if fault == "prefix":
        monkeypatch.setattr(attention, "merge", lambda a, a_lse, b, b_lse: a)
    else:
        monkeypatch.setattr(attention, "merge", lambda a, a_lse, b, b_lse: honest(a, a_lse + 1, b, b_lse))
    engine = HFEngine(model_id=str(folders["qwen2"]), dtype="fp32", threads=1)
    engine.load()
    engine.self_test()
    facts = engine.facts().params()
    assert facts["selftest/passed"] is False and facts["effective/mode"] == "naive"
    assert "log-probabilities differ" in str(facts["effective/fallbacks"])
    engine.close()


def test_out_of_memory_halves_the_rows_and_loses_nothing(
    pairs: dict[str, Pair], monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]
) -> None:
    from wattrack.engines.sharing.rolling import RollingBatch

    engine = HFEngine(model_id=str(folders["qwen2"]), dtype="fp32", threads=1, batch_size=4)
    engine.load()
    step = RollingBatch._step

    def greedy(batch: RollingBatch) -> None:
        if len(batch._going) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(batch)

    monkeypatch.setattr(RollingBatch, "_step", greedy)
    requests = [ask(HEAD + tail, tail) for tail in "abéT0"]
    shared = by_id(engine.generate(requests))
    naive = by_id(pairs["qwen2"].naive.generate(requests))
    assert {i: comparable(r) for i, r in shared.items()} == {i: comparable(r) for i, r in naive.items()}
    assert "batch_size 4 -> 2" in str(engine.facts().params()["effective/fallbacks"])
    assert engine.facts().params()["effective/batch_size"] == 1
    engine.close()


@pytest.mark.parametrize("reason", ["CUDA out of memory", "no kernel for this shape"])
def test_rows_whose_first_token_cannot_be_chosen_are_answered_once(
    pairs: dict[str, Pair], monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path], reason: str
) -> None:
    """Their prompt is computed by then, so they could be among the rows that go on and among those that wait."""
    from wattrack.engines.sharing.rolling import RollingBatch

    take = RollingBatch._take

    def choosy(batch: RollingBatch, rows: Sequence[Going], logits: torch.Tensor) -> None:
        if len(rows) > 2:
            raise RuntimeError(reason)
        take(batch, rows, logits)

    naive_engine = pairs["qwen2"].naive
    engine = HFEngine(model_id=str(folders["qwen2"]), dtype="fp32", threads=1, batch_size=8)
    engine.load()
    monkeypatch.setattr(RollingBatch, "_take", choosy)
    requests = [ask(HEAD + tail, tail, max_new_tokens=n) for n, tail in enumerate("abéT012", start=1)]
    answers = list(engine.generate(requests))
    assert len(answers) == len(requests)
    naive = by_id(naive_engine.generate(requests))
    assert {r.sample_id: comparable(r) for r in answers} == {i: comparable(r) for i, r in naive.items()}
    engine.close()


@pytest.mark.parametrize(
    ("failures", "noted"),
    [
        (["CUDA out of memory"], "none"),
        (["CUDA out of memory"] * 2, "5 answers by mode naive: RuntimeError: CUDA out of memory"),
        (["no kernel for this shape"], "5 answers by mode naive: RuntimeError: no kernel for this shape"),
    ],
)
@pytest.mark.parametrize("choices", [False, True])
def test_a_common_beginning_that_fails_costs_no_answer(
    monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path], failures: list[str], noted: str, choices: bool
) -> None:
    """Memory is released and tried once more; what still fails is left to mode naive, and nothing counts as shared."""
    from wattrack.engines.sharing import shared

    def failing(model: object, ids: Sequence[int]) -> object:
        if left:
            raise RuntimeError(left.pop())
        return compute_prefix(model, ids)

    pair = Pair(folders["qwen2"])
    requests = [ask_choices(4 * HEAD + t, [" 3", " 14"], t) if choices else ask(4 * HEAD + t, t) for t in "abéT0"]
    whole, plain = computed(pair.shared, requests), computed(pair.naive, requests)
    shared_tokens = pair.shared.facts().params()["tokens/shared"]
    compute_prefix, left = shared.compute_prefix, [*failures]
    monkeypatch.setattr(shared, "compute_prefix", failing)
    assert computed(pair.shared, requests) == (whole if noted == "none" else plain)
    facts = pair.shared.facts().params()
    assert facts["effective/fallbacks"] == noted
    assert facts["tokens/shared"] == shared_tokens * (2 if noted == "none" else 1)
    left += failures
    both = (pair.shared, pair.naive)
    found, naive = (by_id(one.loglikelihood(requests) if choices else one.generate(requests)) for one in both)
    assert {i: comparable(r) for i, r in found.items()} == {i: comparable(r) for i, r in naive.items()}
    for i, response in found.items():
        assert response.logprobs == pytest.approx(naive[i].logprobs, abs=1e-4)
    pair.close()


def test_another_failure_leaves_the_rest_to_mode_naive(
    pairs: dict[str, Pair], monkeypatch: pytest.MonkeyPatch, folders: dict[str, Path]
) -> None:
    from wattrack.engines.sharing.rolling import RollingBatch

    def broken(batch: RollingBatch) -> None:
        raise RuntimeError("no kernel for this shape")

    engine = HFEngine(model_id=str(folders["qwen2"]), dtype="fp32", threads=1)
    engine.load()
    monkeypatch.setattr(RollingBatch, "_step", broken)
    requests = [ask(HEAD + tail, tail) for tail in "abé"]
    shared = by_id(engine.generate(requests))
    naive = by_id(pairs["qwen2"].naive.generate(requests))
    assert {i: comparable(r) for i, r in shared.items()} == {i: comparable(r) for i, r in naive.items()}
    assert "no kernel for this shape" in str(engine.facts().params()["effective/fallbacks"])
    engine.close()


def test_automatic_rows_follow_the_free_memory(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = HFEngine(model_id=str(folders["qwen2"]), dtype="fp32", threads=1)
    engine.load()
    requests = [ask("Tom has 3 apples", "0", max_new_tokens=4)]
    sizes = []
    # Two layers x keys and values x 2 heads x 8 dimensions x 4 bytes = 256 bytes per token.
    for free in (None, 256 * 20, 256 * 200, 2**40):
        monkeypatch.setattr("wattrack.engines.sharing.limits.free_bytes", lambda device, free=free: free)
        list(engine.generate(requests))
        sizes.append(engine.facts().params()["effective/batch_size"])
    assert sizes[0] == 8 and 1 <= sizes[1] < sizes[2] < sizes[3] == 64
    engine.close()
