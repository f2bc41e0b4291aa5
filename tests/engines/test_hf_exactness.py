"""The engine against a hand-written loop: same tokens for ragged batches, honest counts and time stamps."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engines.tiny_models import END_IDS, ask
from wattrack.engines.hf import HFEngine
from wattrack.schema import Response

MAX_NEW = 12
prompts = st.lists(st.text("Tomabps 0123é東\n?", min_size=1, max_size=40), min_size=1, max_size=7)
relaxed = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)


def by_hand(engine: HFEngine, prompt: str) -> list[int]:
    """Greedy decoding of one prompt: full forward passes, no cache, no padding, no generate()."""
    loaded, _ = engine._ready()
    ids = loaded.tokenizer(prompt)["input_ids"]
    new: list[int] = []
    with torch.no_grad():
        while len(new) < MAX_NEW and not (new and new[-1] in END_IDS):
            logits = loaded.model(torch.tensor([ids + new])).logits[0, -1]
            new.append(int(logits.argmax()))
    return new


def run(engine: HFEngine, texts: Sequence[str], batch_size: int, **generation: object) -> list[Response]:
    """Responses in the order of `texts`."""
    engine._batcher.size = batch_size
    requests = [ask(text, str(i), seed=i, max_new_tokens=MAX_NEW, **generation) for i, text in enumerate(texts)]
    return sorted(engine.generate(requests), key=lambda response: int(response.sample_id))


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gemma2"])
@relaxed
@given(texts=prompts, batch_size=st.sampled_from([1, 2, 5]))
def test_greedy_equals_a_loop_without_generate(
    engines: dict[str, HFEngine], kind: str, texts: list[str], batch_size: int
) -> None:
    engine = engines[kind]
    tokenizer = engine._ready()[0].tokenizer
    before = engine.computed_tokens
    responses = run(engine, texts, batch_size)
    expected_work = 0
    for text, response in zip(texts, responses, strict=True):
        new = by_hand(engine, text)
        prompt = tokenizer(text)["input_ids"]
        assert response.text == tokenizer.decode(new, skip_special_tokens=True)
        assert response.usage.output_tokens == len(new)
        assert response.usage.input_tokens == len(prompt)
        assert response.prompt_text == tokenizer.decode(prompt)
        assert response.finish_reason == ("stop" if new[-1] in END_IDS else "length")
        assert response.batch_size <= batch_size and response.error is None
        expected_work += len(prompt) + len(new) - 1
    assert engine.computed_tokens - before == expected_work


def test_time_stamps_follow_each_row_to_its_own_end(engine: HFEngine) -> None:
    responses = run(engine, ["Tom has 3 apples", "buys", "How many?", "été", "17"], 5)
    assert len({response.usage.output_tokens for response in responses}) > 1, "rows must end at different steps"
    assert len({response.timing.sent_unix_ms for response in responses}) == 1
    for response in responses:
        times = response.timing.stamps_s
        assert len(times) == response.usage.output_tokens
        assert times[0] > 0 and all(a < b for a, b in itertools.pairwise(times))
        assert response.timing.done_s == times[-1]
        assert response.timing.sent_unix_ms > 1_600_000_000_000


def test_groups_of_unequal_settings_never_share_a_batch(engine: HFEngine) -> None:
    engine._batcher.size = 5
    requests = [ask("Tom", str(n), stop=(stop,)) for n, stop in enumerate("abaxb")]
    responses = list(engine.generate(requests))
    assert sorted(response.batch_size for response in responses) == [1, 2, 2, 2, 2]
    assert all(response.text.count("abaxb"[int(response.sample_id)]) == 0 for response in responses)


def test_sampling_depends_on_the_seed_and_not_on_the_batch(engine: HFEngine) -> None:
    texts = ["Tom has 3 apples", "buys", "How many?", "été", "17", "Tom has"]
    answers = [
        [response.text for response in run(engine, texts, size, temperature=1.0, top_p=0.9)] for size in (1, 2, 5)
    ]
    assert answers[0] == answers[1] == answers[2]
    greedy = [response.text for response in run(engine, texts, 5)]
    assert answers[0] != greedy
    other = [ask(text, str(i), seed=i + 100, temperature=1.0, top_p=0.9) for i, text in enumerate(texts)]
    assert {r.sample_id: r.text for r in engine.generate(other)} != dict(zip("012345", answers[0], strict=True))


def test_sampling_draws_from_the_model_s_distribution(engine: HFEngine) -> None:
    loaded, _ = engine._ready()
    draws, temperature, top_p = 2000, 3.0, 0.6
    engine._batcher.size = 250
    requests = [
        ask("Tom", str(i), seed=i, temperature=temperature, top_p=top_p, max_new_tokens=1) for i in range(draws)
    ]
    ids = loaded.tokenizer("Tom")["input_ids"]
    with torch.no_grad():
        probabilities = (loaded.model(torch.tensor([ids])).logits[0, -1] / temperature).softmax(-1)
    ordered, tokens = probabilities.sort(descending=True)
    kept = int((ordered.cumsum(0) < top_p).sum()) + 1
    share = ordered[:kept] / ordered[:kept].sum()
    expected: Counter[str] = Counter()
    for token, p in zip(tokens[:kept].tolist(), share.tolist(), strict=True):
        expected[loaded.tokenizer.decode([token], skip_special_tokens=True)] += p
    seen = Counter(response.text for response in engine.generate(requests))
    assert seen.keys() <= expected.keys()
    for text, p in expected.items():
        assert abs(seen[text] / draws - p) < 5 * math.sqrt(p * (1 - p) / draws) + 1e-9, text
