"""Exact lengths, to the token: prompts cut or repeated, and answers that an end token does not end."""

from dataclasses import replace
from pathlib import Path

import pytest

from engines.test_hf_requests import only, scripted
from engines.tiny_models import ask
from wattrack.engines.hf import HFEngine
from wattrack.schema import Message


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gemma2"])
@pytest.mark.parametrize("wanted", [1, 9, 64])
def test_prompts_have_exactly_the_tokens_asked_for(engines: dict[str, HFEngine], kind: str, wanted: int) -> None:
    short, long = ask("Tom has", "short"), ask("Tom has 3 apples and 12 pears. " * 10, "long")
    tokenizer = engines[kind]._ready()[0].tokenizer
    for request, response in zip(
        (short, long), only(engines[kind], *(replace(r, prompt_tokens=wanted) for r in (short, long))), strict=True
    ):
        own = tokenizer(request.prompt)["input_ids"]
        assert response.error is None
        assert response.usage.input_tokens == wanted
        assert response.prompt_text == tokenizer.decode(own[:wanted]) or wanted > len(own)


def test_other_prompts_stay_as_they_are(engine: HFEngine) -> None:
    plain, chat = ask("Tom has", "plain"), replace(ask("", "chat"), prompt=(Message(role="user", content="Tom has"),))
    fixed = replace(ask("Tom has", "fixed"), prompt_tokens=30)
    lengths = [response.usage.input_tokens for response in only(engine, plain, chat, fixed)]
    assert lengths[2] == 30
    assert lengths[:2] == [response.usage.input_tokens for response in only(engine, plain, chat)]


@pytest.mark.parametrize("mode", ["naive", "shared"])
def test_answers_have_exactly_the_tokens_asked_for(folders: dict[str, Path], mode: str) -> None:
    engine = HFEngine(model_id=str(folders["qwen2"]), dtype="fp32", batch_size=4, threads=1, mode=mode)
    engine.load()
    try:
        loaded = engine._ready()[0]
        # With this weight the model ends every answer at once.
        loaded.model.lm_head.weight.data.zero_()
        loaded.end_ids = (0,)
        free = ask("Tom has 3 apples", "free", max_new_tokens=6)
        fixed = replace(free, sample_id="fixed", generation=replace(free.generation, fixed_length=True))
        found = {r.sample_id: (r.usage.output_tokens, r.finish_reason, r.error) for r in engine.generate([free, fixed])}
    finally:
        engine.close()
    assert found == {"free": (1, "stop", None), "fixed": (6, "stop", None)}


def test_an_end_token_inside_a_fixed_answer_is_no_text(engine: HFEngine) -> None:
    end = engine._ready()[0].end_ids[0]
    request = ask("Tom has 3 apples", max_new_tokens=4)
    with scripted(engine, {len(engine._ready()[0].tokenizer("Tom has 3 apples")["input_ids"]): [end]}):
        (response,) = only(engine, replace(request, generation=replace(request.generation, fixed_length=True)))
    assert (response.usage.output_tokens, response.text, response.finish_reason) == (4, "", "stop")


@pytest.mark.parametrize("mode", ["naive", "shared"])
@pytest.mark.parametrize("options", [{}, {"fixed_length": True}, {"stop": ("e",)}, {"temperature": 0.7}], ids=str)
def test_rows_of_one_batch_end_at_lengths_of_their_own(
    folders: dict[str, Path], mode: str, options: dict[str, object]
) -> None:
    engine = HFEngine(model_id=str(folders["qwen2"]), dtype="fp32", batch_size=3, threads=1, mode=mode)
    engine.load()
    lengths = [9, 2, 17, 5, 1, 17, 3]
    asked = [
        ask(f"{n} apples and {n} pears" * (1 + n % 3), f"q{n}", max_new_tokens=length, seed=n, **options)
        for n, length in enumerate(lengths)
    ]
    asked += [replace(asked[0], sample_id="q0 again", generation=replace(asked[0].generation, max_new_tokens=4))]
    try:
        alone = [only(engine, request)[0] for request in asked]
        before = engine.computed_tokens
        together = only(engine, *asked)
        computed = engine.computed_tokens - before
    finally:
        engine.close()
    assert max(r.batch_size for r in together) == 3
    for request, one, beside in zip(asked, alone, together, strict=True):
        assert (beside.error, beside.text, beside.usage.output_tokens, beside.finish_reason) == (
            None, one.text, one.usage.output_tokens, one.finish_reason,
        )  # fmt: skip
        assert len(beside.timing.stamps_s) == beside.usage.output_tokens <= request.generation.max_new_tokens
        if "fixed_length" in options:
            assert beside.usage.output_tokens == request.generation.max_new_tokens
    assert computed == sum(r.usage.input_tokens + r.usage.output_tokens - 1 for r in together)
    assert {r.finish_reason for r in together} == ({"stop"} if "fixed_length" in options else {"stop", "length"})
