"""Rotary embeddings that depend on length: an answer does not depend on the texts beside it or before it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, GenerationConfig

from engines.tiny_models import CONFIGS, ask, ask_choices
from wattrack.engines.hf import HFEngine
from wattrack.engines.weights.ropes import apart, by_length, limit

KINDS = {"phi3_long": 64, "long_rope": 256}
"""Tokens beyond which their frequencies change."""
SENTENCE = "Tom has 3 apples and buys 14 more. "
ENDINGS = [" yes", " 17 apples, he has 17 apples and no more"]


@pytest.fixture(scope="module")
def engines(folders: dict[str, Path]) -> Iterator[dict[str, HFEngine]]:
    """In mode shared, which falls back."""
    options = {"dtype": "fp32", "threads": 1, "context_length": 512}
    built = {kind: HFEngine(model_id=str(folders[kind]), **options) for kind in KINDS}
    for engine in built.values():
        engine.load()
    yield built
    for engine in built.values():
        engine.close()


def fresh(engine: HFEngine) -> Any:
    """The model as it is before its first text."""
    model = AutoModelForCausalLM.from_pretrained(engine._settings.model_id, dtype=torch.float32).eval()
    model.generation_config = GenerationConfig()
    return model


def prompts(engine: HFEngine, kind: str) -> list[str]:
    """Short, below the limit by little, beyond it by little, long, longer, and short again."""
    tokenizer = engine._ready()[0].tokenizer
    ids = tokenizer(80 * SENTENCE)["input_ids"]
    return [str(tokenizer.decode(ids[: max(5, KINDS[kind] + n)])) for n in (-999, -10, 6, 40, 90, -20)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_that_of_a_fresh_model_alone(engines: dict[str, HFEngine], kind: str) -> None:
    """With lengths that only neighbours take beyond the limit: 54 tokens and 4 new ones beside 5 and 40."""
    engine = engines[kind]
    news = (40, 4, 4, 20, 12, 30)
    texts = zip(prompts(engine, kind), news, strict=True)
    requests = [ask(prompt, str(i), max_new_tokens=new) for i, (prompt, new) in enumerate(texts)]
    for some in (requests, requests[::-1]):
        found = {r.sample_id: (r.text, r.usage.output_tokens) for r in engine.generate(some)}
        assert found == {r.sample_id: plain_answer(engine, r.prompt, r.generation.max_new_tokens) for r in requests}
    facts = engine.facts().params()
    assert facts["effective/mode"] == "naive"
    assert str(facts["effective/fallbacks"]).count(f"single rows beyond {KINDS[kind]} tokens") == 1


def plain_answer(engine: HFEngine, prompt: str, new: int) -> tuple[str, int]:
    loaded, _ = engine._ready()
    ids = torch.tensor([loaded.tokenizer(prompt)["input_ids"]])
    options = {"max_new_tokens": new, "do_sample": False, "eos_token_id": [*loaded.end_ids], "pad_token_id": 0}
    output = fresh(engine).generate(ids, attention_mask=torch.ones_like(ids), **options)
    answer = output[0, ids.shape[1] :].tolist()
    return loaded.marks.text(answer), len(answer)


@pytest.mark.parametrize("kind", KINDS)
def test_log_probabilities_are_those_of_a_fresh_model_alone(engines: dict[str, HFEngine], kind: str) -> None:
    """Each option by itself: of one question, one may cross the limit and another not."""
    engine = engines[kind]
    requests = [ask_choices(prompt, ENDINGS, str(i)) for i, prompt in enumerate(prompts(engine, kind))]
    rows, _ = engine._ready()[1].choices(requests)
    expected = {row.request.sample_id: [plain_sum(engine, option) for option in row.options] for row in rows}
    for some in (requests, requests[::-1]):
        for response in engine.loglikelihood(some):
            assert response.logprobs == pytest.approx(expected[response.sample_id], abs=1e-4)


def plain_sum(engine: HFEngine, option: Any) -> float:
    with torch.no_grad():
        values = fresh(engine)(torch.tensor([option.ids[:-1]])).logits[0].log_softmax(-1)
    return sum(float(values[place - 1, option.ids[place]]) for place in range(option.start, len(option.ids)))


lengths = st.lists(st.tuples(st.integers(1, 80), st.integers(0, 3).map(lambda n: 10 * n)), min_size=1)


@given(lengths, st.none() | st.integers(1, 100))
def test_rows_are_together_only_where_none_of_them_can_cross(rows: list[tuple[int, int]], most: int | None) -> None:
    groups = apart(rows, most)
    assert sorted(i for group in groups for i in group) == list(range(len(rows)))
    for group in groups:
        reach = max(rows[i][0] for i in group) + max(rows[i][1] for i in group)
        assert most is None or len(group) == 1 or reach <= most
    assert most is not None or len(groups) == 1


@pytest.mark.parametrize("kind", ["qwen2", "gemma3", "gpt2", "mamba", *KINDS])
def test_which_models_depend_on_length(kind: str) -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS[kind]())
    assert limit(model) == KINDS.get(kind)
    assert by_length(model.config) == {"phi3_long": "longrope", "long_rope": "dynamic"}.get(kind)
