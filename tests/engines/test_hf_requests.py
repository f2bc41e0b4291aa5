"""What the engine does with stop strings, chat prompts, impossible requests and failing hardware."""

import gc
import json
import logging
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from engines.tiny_models import ask, build_model
from wattrack.engines.hf import HFEngine
from wattrack.errors import ConfigError, EngineError
from wattrack.schema import Generation, Message, Request

PROMPT = "Tom has 3 apples"
NO_SYSTEM = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
)


def only(engine: HFEngine, *requests: Request) -> list:
    """Responses in request order."""
    order = {request.sample_id: i for i, request in enumerate(requests)}
    return sorted(engine.generate(requests), key=lambda response: order[response.sample_id])


@contextmanager
def scripted(engine: HFEngine, answers: dict[int, list[int]]) -> Iterator[None]:
    """Make the model answer given tokens: {prompt length: new ids}; the weights still run."""
    model = engine._ready()[0].model
    real = model.forward
    asked: list[list[int]] = []

    def forward(*args: object, **kwargs: object) -> object:
        output = real(*args, **kwargs)
        mask = kwargs["attention_mask"]
        assert isinstance(mask, torch.Tensor)
        lengths = mask.sum(-1).tolist()
        if output.logits.shape[0] != len(asked) or kwargs["input_ids"].shape[1] > 1:
            asked[:] = [[length, 0] for length in lengths]
        output.logits = torch.zeros_like(output.logits[:, -1:])
        for row, state in enumerate(asked):
            script = answers[state[0]]
            output.logits[row, 0, script[min(state[1], len(script) - 1)]] = 1.0
            state[1] += 1
        return output

    model.forward = forward
    try:
        yield
    finally:
        model.forward = real


def ids_of(engine: HFEngine, text: str) -> list[int]:
    """Tokens of `text`, without special tokens."""
    return list(engine._ready()[0].tokenizer(text, add_special_tokens=False)["input_ids"])


def bytes_of(engine: HFEngine, text: str) -> list[int]:
    """One token per UTF-8 byte: no stop string is a single token then."""
    vocabulary = engine._ready()[0].tokenizer.get_vocab()
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return [vocabulary[bytes_to_unicode()[byte]] for byte in text.encode()]


@pytest.mark.parametrize(
    ("answer", "stops", "text", "completed_by"),
    [
        ("17\nQuestion: more", ("\nQuestion:",), "17", "17\nQuestion:"),
        ("3 apples, STOP here", ("STOP",), "3 apples, ", "3 apples, STOP"),
        ("東京 is a city", ("京",), "東", "東京"),
        ("a b c", (" c", " b"), "a", "a b"),
        ("no stop at all", ("STOP",), "no stop at all", None),
        ("café — done", ("é —",), "caf", "café —"),
        ("x", ("x",), "", "x"),
    ],
)
def test_stop_strings_cut_exactly_and_count_up_to_their_last_token(
    engine: HFEngine, answer: str, stops: tuple[str, ...], text: str, completed_by: str | None
) -> None:
    new = [*bytes_of(engine, answer), 2]
    prompt_tokens = len(ids_of(engine, PROMPT))
    with scripted(engine, {prompt_tokens: new}):
        [response] = only(engine, ask(PROMPT, stop=stops, max_new_tokens=60))
    assert response.text == text
    assert response.finish_reason == "stop"
    assert response.usage.output_tokens == (len(new) if completed_by is None else len(completed_by.encode()))


def test_a_stop_string_in_the_prompt_does_not_end_the_answer(engine: HFEngine) -> None:
    prompt = "Question: STOP\nAnswer:"
    with scripted(engine, {len(ids_of(engine, prompt)): [*bytes_of(engine, " ok STOP no"), 2]}):
        [response] = only(engine, ask(prompt, stop=("STOP",), max_new_tokens=30))
    assert response.text == " ok "


def test_one_row_stops_while_its_neighbour_goes_on(engine: HFEngine) -> None:
    engine._batcher.size = 5
    a, b = "Tom has 3 apples", "buys"
    script = {
        len(ids_of(engine, a)): [*bytes_of(engine, "one. two"), 2],
        len(ids_of(engine, b)): [*bytes_of(engine, "a longer answer without it"), 2],
    }
    with scripted(engine, script):
        first, second = only(
            engine, ask(a, "a", stop=(".",), max_new_tokens=40), ask(b, "b", stop=(".",), max_new_tokens=40)
        )
    assert (first.text, first.usage.output_tokens, first.batch_size) == ("one", 4, 2)
    assert (second.text, second.usage.output_tokens) == ("a longer answer without it", 27)
    assert len(first.timing.stamps_s) == 4 and first.timing.done_s < second.timing.done_s


def test_a_special_token_as_stop_string_ends_the_row(engine: HFEngine) -> None:
    with scripted(engine, {len(ids_of(engine, PROMPT)): [*bytes_of(engine, "17"), 4, *bytes_of(engine, "99")]}):
        [response] = only(engine, ask(PROMPT, stop=("<|im_end|>",), max_new_tokens=8))
    assert (response.text, response.usage.output_tokens, response.finish_reason) == ("17", 3, "stop")


@pytest.mark.parametrize("mode", ["shared", "naive"])
def test_a_special_token_that_only_tokenizer_json_knows_ends_the_row(
    folders: dict[str, Path], tmp_path: Path, mode: str
) -> None:
    """As <|eot_id|> in some conversions of Llama 3: texts leave it out, all_special_tokens does not have it."""
    folder = Path(shutil.copytree(folders["qwen2"], tmp_path / "model"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    kept = {name: value for name, value in config.items() if "special_tokens" not in name}
    (folder / "tokenizer_config.json").write_text(json.dumps(kept))
    engine = HFEngine(model_id=str(folder), dtype="fp32", threads=1, mode=mode)
    engine.load()
    assert "<|im_end|>" not in engine._ready()[0].tokenizer.all_special_tokens
    weights = engine._ready()[0].model.get_output_embeddings()
    ends = engine._ready()[0].tokenizer.convert_tokens_to_ids("<|im_end|>")
    hook = weights.register_forward_hook(
        lambda module, inputs, logits: logits.index_fill(-1, torch.tensor([ends]), 1e4)
    )
    [response] = only(engine, ask(PROMPT, stop=("<|im_end|>", "\n"), max_new_tokens=8))
    assert (response.text, response.usage.output_tokens, response.finish_reason) == ("", 1, "stop")
    hook.remove()
    engine.close()


def test_an_immediate_end_token_is_an_empty_answer_of_one_token(engine: HFEngine) -> None:
    with scripted(engine, {len(ids_of(engine, PROMPT)): [2]}):
        [response] = only(engine, ask(PROMPT))
    assert (response.text, response.usage.output_tokens, response.finish_reason) == ("", 1, "stop")
    assert len(response.timing.stamps_s) == 1 and response.error is None


def test_a_prompt_beyond_the_context_is_refused_and_the_others_go_on(engine: HFEngine) -> None:
    long = "Tom " * 300
    tokens = len(ids_of(engine, long))
    refused, answered = only(engine, ask(long, "long"), ask("Tom", "short"))
    assert refused.finish_reason == "error" and refused.text == "" and refused.usage.input_tokens == tokens
    assert refused.error == (
        f"prompt of {tokens} tokens + 12 new exceeds the context of 256 tokens; "
        "use a shorter prompt (fewer worked examples, if any) or a smaller max_new_tokens"
    )
    assert answered.error is None and answered.usage.output_tokens > 0


def test_an_empty_prompt_is_an_error_of_its_own(engine: HFEngine) -> None:
    [response] = only(engine, ask(""))
    assert response.error == "the prompt has no tokens"


def chat(*turns: tuple[str, str]) -> Request:
    """A chat request."""
    messages = tuple(Message(role=role, content=content) for role, content in turns)
    return Request(sample_id="q", repeat=0, prompt=messages, generation=Generation(max_new_tokens=3), seed=0)


def test_chat_prompts_use_the_template_without_a_second_bos(engine: HFEngine) -> None:
    [response] = only(engine, chat(("system", "Be brief."), ("user", "3+4?")))
    assert response.prompt_text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n3+4?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_template_without_system_role_gets_its_text_in_the_user_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = HFEngine(model_id=str(build_model(tmp_path, chat_template=NO_SYSTEM, bos=True, pad=False)), threads=1)
    engine.load()
    request = chat(("system", "Be brief."), ("user", "3+4?"))
    with caplog.at_level(logging.WARNING):
        first, second = [next(engine.generate([request])) for _ in range(2)]
    assert first.prompt_text == second.prompt_text == "<|im_start|>Be brief.\n\n3+4?<|im_end|>"
    assert sum("no system role" in record.message for record in caplog.records) == 1
    [raw] = engine.generate([ask("Tom")])
    assert raw.prompt_text == "<bos>Tom"
    [doubled] = engine.generate([ask("<bos>Tom")])
    assert doubled.error is not None and "twice" in doubled.error
    engine.close()


def test_chat_without_a_template_stops_the_job(tmp_path: Path) -> None:
    engine = HFEngine(model_id=str(build_model(tmp_path, chat_template=None)), threads=1)
    engine.load()
    with pytest.raises(EngineError, match="has no chat template: choose a completion protocol"):
        list(engine.generate([chat(("user", "3+4?"))]))
    engine.close()


@contextmanager
def failing(engine: HFEngine, problem: Callable[[int], BaseException | None]) -> Iterator[None]:
    """Make the forward pass raise `problem(rows)` where it gives one."""
    model = engine._ready()[0].model
    real = model.forward

    def forward(*args: object, **kwargs: object) -> object:
        error = problem(len(kwargs["input_ids"]))
        if error is not None:
            raise error
        return real(*args, **kwargs)

    model.forward = forward
    try:
        yield
    finally:
        model.forward = real


@pytest.fixture
def own_engine(folders: dict[str, Path]) -> Iterator[HFEngine]:
    """An engine whose batch size a test may wear down."""
    engine = HFEngine(model_id=str(folders["qwen2"]), dtype="fp32", batch_size=8, threads=1, mode="naive")
    engine.load()
    yield engine
    engine.close()


def test_out_of_memory_halves_the_batch_and_loses_nothing(own_engine: HFEngine) -> None:
    requests = [ask("Tom " * (1 + i % 4), str(i)) for i in range(11)]
    expected = {r.sample_id: r.text for r in own_engine.generate(requests)}
    with failing(own_engine, lambda rows: torch.OutOfMemoryError("CUDA out of memory.") if rows > 3 else None):
        responses = list(own_engine.generate(requests))
    assert {r.sample_id: r.text for r in responses} == expected and len(responses) == 11
    assert max(r.batch_size for r in responses) == 2
    facts = own_engine.facts().params()
    assert facts["effective/batch_size"] == 2
    assert facts["effective/fallbacks"] == "batch_size 8 -> 4: out of memory; batch_size 4 -> 2: out of memory"


def test_out_of_memory_with_one_row_is_that_row_s_error(own_engine: HFEngine) -> None:
    with failing(own_engine, lambda rows: RuntimeError("[enforce fail] can't allocate memory")):
        responses = list(own_engine.generate([ask("Tom", str(i)) for i in range(5)]))
    assert all(r.error is not None and r.error.startswith("out of memory at batch size 1") for r in responses)
    assert len(responses) == 5


def test_a_failing_row_does_not_take_its_batch_along(own_engine: HFEngine) -> None:
    def problem(rows: int) -> BaseException | None:
        failures.append(rows)
        return ValueError("bad\nrow") if rows > 1 or failures.count(1) == 1 else None

    failures: list[int] = []
    with failing(own_engine, problem):
        responses = list(own_engine.generate([ask("Tom " * (i + 1), str(i)) for i in range(4)]))
    assert sorted(r.error or "" for r in responses) == ["", "", "", "ValueError: bad row"]


def test_an_engine_that_answers_nothing_stops_the_job(own_engine: HFEngine) -> None:
    with (
        failing(own_engine, lambda rows: ValueError("broken")),
        pytest.raises(EngineError, match="first 3 questions all failed; last: ValueError: broken"),
    ):
        list(own_engine.generate([ask("Tom", str(i)) for i in range(5)]))


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_through_at_once(own_engine: HFEngine, interrupt: type[BaseException]) -> None:
    with failing(own_engine, lambda rows: interrupt()), pytest.raises(interrupt):
        list(own_engine.generate([ask("Tom", str(i)) for i in range(3)]))


def test_a_failing_compiler_costs_speed_and_no_answer(own_engine: HFEngine) -> None:
    def problem(rows: int) -> BaseException | None:
        calls.append(rows)
        return compiler_error("no C compiler") if len(calls) == 1 else None

    calls: list[int] = []
    compiler_error = type("InductorError", (RuntimeError,), {"__module__": "torch._inductor.exc"})
    with failing(own_engine, problem):
        responses = list(own_engine.generate([ask("Tom", str(i)) for i in range(3)]))
    assert [r.error for r in responses] == [None] * 3 and responses[0].batch_size == 3
    assert own_engine.facts().params()["effective/fallbacks"] == (
        "compiled decoding -> uncompiled: InductorError: no C compiler"
    )


def test_a_lost_cuda_device_stops_the_job(own_engine: HFEngine) -> None:
    lost = RuntimeError("CUDA error: an illegal memory access was encountered")
    with failing(own_engine, lambda rows: lost), pytest.raises(EngineError, match="CUDA device failed"):
        list(own_engine.generate([ask("Tom")]))


def test_close_frees_the_model_and_may_be_repeated(folders: dict[str, Path]) -> None:
    engine = HFEngine(model_id=str(folders["qwen2"]), threads=1)
    threads = torch.get_num_threads()
    engine.close()
    engine.load()
    model = weakref.ref(engine._ready()[0].model)
    list(engine.generate([ask("Tom")]))
    engine.close()
    engine.close()
    gc.collect()
    assert model() is None
    assert torch.get_num_threads() == threads
    with pytest.raises(EngineError, match="not loaded"):
        list(engine.generate([ask("Tom")]))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"dtype": "int3"}, "engine.dtype=int3: expected one of auto, fp32, bf16, fp16"),
        ({"kv_cache": "paged"}, "engine.kv_cache=paged"),
        ({"device": "tpu"}, "engine.device=tpu"),
        ({"mode": "warp"}, "engine.mode=warp"),
        ({"batch_size": 0}, "engine.batch_size=0: expected a whole number of at least 1"),
        ({"threads": -1}, "engine.threads=-1"),
        ({"model_id": " "}, "model.id is empty"),
    ],
)
def test_bad_settings_are_refused_by_the_constructor(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        HFEngine(**{"model_id": "x", **setting})
