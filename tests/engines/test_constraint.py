"""Constrained decoding: every finished answer keeps to its schema, the same tokens in both modes and by hand."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import pytest
import torch
from llguidance import LLMatcher
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import AutoTokenizer, ByT5Tokenizer, GenerationConfig, PreTrainedTokenizerFast, Qwen2Config

import wattrack
from engines.tiny_models import CHATML, ask, build_model, build_tokenizer
from wattrack.engines.constrained.constraint import Grammars, failure
from wattrack.engines.hf import HFEngine
from wattrack.engines.weights.random_weights import substitute_tokenizer
from wattrack.errors import EngineError
from wattrack.prompts.tools import calls_schema
from wattrack.schema import Message, Request, Response
from wattrack.scorers.structure import schema_errors

PACKAGE = Path(wattrack.__file__).parent
DEMO = PACKAGE / "demo" / "models" / "demo_xs"
EOS = 2
SHORT: dict[str, Mapping[str, object]] = {
    "city": {
        "type": "object",
        "properties": {
            "in": {"enum": ["Oslo", "Rome", "Lima"]},
            "n": {"type": "integer", "minimum": 3, "maximum": 420},
            "on": {"type": "string", "format": "date"},
        },
        "required": ["in", "n", "on"],
        "additionalProperties": False,
    },
    "lights": {
        "type": "array",
        "items": {"enum": ["red", "yellow", "green"]},
        "minItems": 3,
        "maxItems": 3,
        "uniqueItems": True,
    },
    "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    "shape": {"oneOf": [{"const": {"side": 1}}, {"type": "array", "items": {"type": "boolean"}, "maxItems": 2}]},
}
PROMPTS = ("Tom has 3 apples", "été", "How many apples? 17", "Tom")


def suite() -> dict[str, Mapping[str, object]]:
    """Every schema of the shipped suites."""
    rows = [json.loads(line) for line in (PACKAGE / "suites" / "json_output.jsonl").read_text("utf-8").splitlines()]
    tools = [json.loads(line) for line in (PACKAGE / "suites" / "tool_calls.jsonl").read_text("utf-8").splitlines()]
    return {r["id"]: r["schema"] for r in rows} | {f"calls {r['id']}": calls_schema(r["tools"]) for r in tools}


def held(schema: Mapping[str, object], prompt: str = "Tom", name: str = "q", **generation: object) -> Request:
    return replace(ask(prompt, name, **{"max_new_tokens": 60, **generation}), constraint=schema)


@pytest.fixture(scope="module", params=["qwen2", "llama", "gpt2", "demo_xs"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random tiny models whose one end token is no text, and a trained one."""
    if request.param == "demo_xs":
        return DEMO
    made = build_model(tmp_path_factory.mktemp(request.param) / "model", request.param)
    GenerationConfig(eos_token_id=EOS, pad_token_id=0).save_pretrained(made)
    return made


def loaded(folder: Path, mode: str = "shared", **options: object) -> HFEngine:
    engine = HFEngine(model_id=str(folder), dtype="fp32", threads=1, mode=mode, **{"batch_size": 3, **options})
    engine.load()
    return engine


@pytest.fixture(scope="module")
def pair(folder: Path) -> Iterator[tuple[HFEngine, HFEngine]]:
    """(shared, naive) of one checkpoint."""
    engines = loaded(folder), loaded(folder, "naive")
    yield engines
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HFEngine]:
    """One random model in mode shared."""
    made = build_model(tmp_path_factory.mktemp("one") / "model")
    GenerationConfig(eos_token_id=EOS, pad_token_id=0).save_pretrained(made)
    engine = loaded(made)
    yield engine
    engine.close()


def by_id(responses: Iterator[Response]) -> dict[str, Response]:
    return {response.sample_id: response for response in responses}


def texts(responses: Mapping[str, Response]) -> dict[str, tuple[object, ...]]:
    return {i: (r.text, r.finish_reason, r.usage.output_tokens, r.error) for i, r in responses.items()}


def check_all(requests: Sequence[Request], responses: Mapping[str, Response]) -> int:
    """Every finished answer is one valid value; returns how many finished."""
    schemas = {r.sample_id: r.constraint for r in requests}
    finished = [r for r in responses.values() if r.finish_reason == "stop" and schemas[r.sample_id] is not None]
    for response in finished:
        constraint = schemas[response.sample_id] or {}
        assert schema_errors(json.loads(response.text), constraint) == [], response.text
    assert all(r.error is None for r in responses.values())
    return len(finished)


def mixed(**generation: object) -> list[Request]:
    """Every short schema after every prompt, and the prompts alone."""
    some = [held(s, p, f"{n} {p}", **generation) for n, s in SHORT.items() for p in PROMPTS]
    return some + [ask(p, p, max_new_tokens=60, **generation) for p in PROMPTS]  # type: ignore[arg-type]


def by_hand(engine: HFEngine, request: Request) -> list[int]:
    """Greedy by full passes: of the tokens in order of their logits, the first that the matcher accepts."""
    ready, _ = engine._ready()
    grammars = engine._constraining([request])
    assert grammars is not None
    matcher: LLMatcher = grammars.begin(request)
    ids, new = ready.tokenizer(request.prompt)["input_ids"], []
    with torch.no_grad():
        while len(new) < request.generation.max_new_tokens and not (new and new[-1] in ready.end_ids):
            order = ready.model(torch.tensor([ids + new])).logits[0, -1].argsort(descending=True, stable=True).tolist()
            allowed = matcher.compute_logit_bias()
            new.append(next(token for token in order if token < len(allowed) and allowed[token]))
            matcher.consume_token(new[-1])
    return new


def test_both_modes_take_the_tokens_of_a_loop_by_hand(pair: tuple[HFEngine, HFEngine]) -> None:
    requests = mixed()
    shared, naive = (by_id(engine.generate(requests)) for engine in pair)
    assert texts(shared) == texts(naive)
    assert check_all(requests, shared) >= 4
    tokenizer = pair[0]._ready()[0].tokenizer
    for request in requests[:16:3]:
        new = by_hand(pair[1], request)
        assert shared[request.sample_id].text == tokenizer.decode(new, skip_special_tokens=True)
        assert shared[request.sample_id].usage.output_tokens == len(new)
    assert pair[0].facts().params()["effective/mode"] == "shared"


def test_sampled_answers_keep_to_their_schemas_in_both_modes(pair: tuple[HFEngine, HFEngine]) -> None:
    settings = {"temperature": 1.5, "top_p": 0.95}
    requests = [replace(r, seed=i) for i, r in enumerate(mixed(**settings)) if r.constraint is not None]
    shared, naive = (by_id(engine.generate(requests)) for engine in pair)
    assert texts(shared) == texts(naive)
    assert check_all(requests, shared) >= 8


def test_rows_of_unequal_lengths_are_cut_each_at_its_own(pair: tuple[HFEngine, HFEngine]) -> None:
    """In one batch of mode naive: the padding of a row that is cut is nothing that its matcher may read."""
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 9}
    requests = [held(schema, PROMPTS[0], str(new), max_new_tokens=new) for new in (4, 30, 9)]
    shared, naive = (by_id(engine.generate(requests)) for engine in pair)
    assert texts(shared) == texts(naive)
    assert {i: (r.usage.output_tokens, r.error) for i, r in naive.items()} == {str(n): (n, None) for n in (4, 30, 9)}


def test_a_free_row_answers_as_if_no_other_were_constrained(pair: tuple[HFEngine, HFEngine]) -> None:
    requests = mixed()
    alone = by_id(pair[0].generate([r for r in requests if r.constraint is None]))
    beside = by_id(pair[0].generate(requests))
    assert texts(alone) == {i: text for i, text in texts(beside).items() if i in alone}


def sentencepiece() -> PreTrainedTokenizerFast:
    """As Llama 2's: blanks as U+2581, what has no token as bytes, a leading blank that decoding strips."""
    marks = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *' {}[]":,0123456789-.ab\n']
    pieces = {mark: i for i, mark in enumerate([*dict.fromkeys(marks), '\u2581"', '{"', "ab"])}
    merges = [("\u2581", '"'), ("{", '"'), ("a", "b")]
    core = Tokenizer(models.BPE(pieces, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    strip = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    core.decoder = decoders.Sequence(strip)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "byte-level": build_tokenizer,
    "demo": lambda: AutoTokenizer.from_pretrained(DEMO),
    "sentencepiece": sentencepiece,
    "substitute": lambda: substitute_tokenizer(Qwen2Config(vocab_size=400, eos_token_id=399, bos_token_id=398)),
}


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_every_shipped_schema_holds_random_tokens_to_it(tokenizer: str) -> None:
    """Random logits in place of a model, quotes and brackets made likely so that most answers end."""
    made = TOKENIZERS[tokenizer]()
    width, end = len(made) + 5, int(made.eos_token_id)
    grammars = Grammars(made, [end], width)
    requests = [held(schema, name=name) for name, schema in suite().items()]
    grammars.check(requests)
    generator = torch.Generator().manual_seed(3)
    likely = [made.convert_tokens_to_ids(mark) for mark in '"}],']
    matchers = [grammars.begin(request) for request in requests]
    live, newest, ids = list(matchers), cast(list[int | None], [None] * len(requests)), [[] for _ in requests]
    for _ in range(500):
        logits = torch.randn(len(requests), width, generator=generator)
        logits[:, likely] += 4
        drawn = grammars.masked(logits, live, newest).softmax(-1).multinomial(1, generator=generator)[:, 0].tolist()
        for row, token in enumerate(drawn):
            live[row], newest[row] = (None, None) if token == end else (live[row], token)
            if live[row] is not None:
                ids[row].append(token)
    answers = {r.sample_id: made.decode(i) for r, i, m in zip(requests, ids, live, strict=True) if m is None}
    assert len(answers) > 60 and not any(map(failure, matchers))
    for request in requests:
        if request.sample_id in answers and request.constraint is not None:
            broken = schema_errors(json.loads(answers[request.sample_id]), request.constraint)
            assert {keyword for _, keyword in broken} <= {"uniqueItems"}, (request.sample_id, broken)
    assert grammars.label == "llguidance 1.9.1, JSON Schema; not enforced: uniqueItems (schemas: 1)"


def test_equal_prompts_with_other_schemas_are_other_questions(engine: HFEngine) -> None:
    schemas = [*SHORT.values(), SHORT["code"], None]
    requests = [replace(ask("Tom", str(i), max_new_tokens=60), constraint=s) for i, s in enumerate(schemas)]
    before = engine.computed_tokens
    responses = by_id(engine.generate(requests))
    together, before = engine.computed_tokens - before, engine.computed_tokens
    for request in requests[:5]:
        list(engine.generate([request]))
    alone = engine.computed_tokens - before
    assert responses["2"].text == responses["4"].text and responses["4"].timing.done_s is None
    assert len({r.text for r in responses.values()}) == 5
    assert Counter(r.timing.done_s is None for r in responses.values()) == {False: 5, True: 1}
    assert together <= alone + responses["5"].usage.output_tokens
    # The order of keys is the order of the answer.
    turned = {**SHORT["city"], "properties": dict(reversed(SHORT["city"]["properties"].items()))}  # type: ignore[attr-defined]
    pair = by_id(engine.generate([held(SHORT["city"], name="a"), held(turned, name="b")]))
    assert pair["a"].text.startswith('{"in"') or '"in"' in pair["a"].text[:20]
    assert '"on"' in pair["b"].text[:20]


def test_running_out_of_memory_begins_answers_again(engine: HFEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from wattrack.engines.sharing.rolling import RollingBatch

    requests = [held(schema, p, f"{name} {p}") for name, schema in SHORT.items() for p in PROMPTS[:2]]
    expected = texts(by_id(engine.generate(requests)))
    step, steps = RollingBatch._step, iter(range(10**6))

    def greedy(batch: RollingBatch) -> None:
        if next(steps) > 5 and len(batch._going) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        step(batch)

    again = loaded(Path(engine._settings.model_id))
    monkeypatch.setattr(RollingBatch, "_step", greedy)
    assert texts(by_id(again.generate(requests))) == expected
    assert "out of memory" in str(again.facts().params()["effective/fallbacks"])
    again.close()


def test_what_constrained_is_a_fact_only_where_something_did(folder: Path) -> None:
    engine = loaded(folder)
    list(engine.generate([ask("Tom", max_new_tokens=2)]))
    assert "effective/constraint" not in engine.facts().params()
    different = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    list(engine.generate([held(different, max_new_tokens=4), held(SHORT["code"], name="b", max_new_tokens=4)]))
    label = "llguidance 1.9.1, JSON Schema; not enforced: uniqueItems (schemas: 1)"
    assert engine.facts().params()["effective/constraint"] == label
    engine.close()


THINKING = CHATML.replace("<|im_start|>assistant\n", "<|im_start|>assistant\n<think>\n")


def test_what_cannot_be_constrained_is_a_failed_answer_with_the_reason(engine: HFEngine, tmp_path: Path) -> None:
    requests = [
        held({"not": {"type": "string"}}, name="keyword"),
        held(SHORT["code"], name="stop", stop=("T",)),
        held(SHORT["code"], name="length", fixed_length=True),
        held(SHORT["code"], name="fine"),
    ]
    found = by_id(engine.generate(requests))
    assert found["fine"].error is None
    assert 'cannot constrain decoding: Unimplemented keys: ["not"]' in str(found["keyword"].error)
    for name in ("stop", "length"):
        assert "no stop strings, no fixed length" in str(found[name].error)
    thinking = build_model(tmp_path / "model", chat_template=THINKING)
    GenerationConfig(eos_token_id=EOS, pad_token_id=0).save_pretrained(thinking)
    other = loaded(thinking)
    asked = (Message(role="user", content="Tom?"),)
    (response,) = other.generate([replace(held(SHORT["code"]), prompt=asked)])
    assert "opens a reasoning block" in str(response.error)
    other.close()


def test_a_job_is_refused_before_the_weights_are_loaded(engine: HFEngine, tmp_path: Path) -> None:
    fresh = HFEngine(model_id=engine._settings.model_id, dtype="fp32", threads=1)
    fresh.prepare([held(schema, name=name) for name, schema in suite().items()])
    bad = [held(SHORT["code"]), *(held({"not": {}}, name=name) for name in ("b", "c"))]
    with pytest.raises(EngineError, match=r'^b: its schema .*Unimplemented keys: \["not"\].* \(2 such questions\); ch'):
        fresh.prepare(bad)
    assert fresh._loaded is None
    text_ends = HFEngine(model_id=str(build_model(tmp_path / "ends")), dtype="fp32", threads=1)
    text_ends.load()
    with pytest.raises(EngineError, match=r"token 262 .* ends answers and is text as well"):
        list(text_ends.generate([held(SHORT["code"])]))
    text_ends.close()


def test_tokenizers_that_no_grammar_can_be_built_on_are_refused() -> None:
    with pytest.raises(EngineError, match=r"needs a fast tokenizer .*ByT5Tokenizer"):
        Grammars(ByT5Tokenizer(), [1], 384)
    with pytest.raises(EngineError, match="needs a model with an end token"):
        Grammars(build_tokenizer(), [], 320)
    odd = build_tokenizer()
    odd.backend_tokenizer.decoder = None
    with pytest.raises(EngineError, match="llguidance cannot use this tokenizer"):
        Grammars(odd, [EOS], 320)


def test_masks_wait_for_nothing_but_the_step_before(engine: HFEngine) -> None:
    """A matcher reads its newest token when the next step's mask is made, after that step was begun."""
    request = held(SHORT["code"])
    grammars = engine._constraining([request])
    assert grammars is not None
    step = partial(grammars.masked, torch.zeros(2, 320))
    matcher = grammars.begin(request)
    first = step([matcher, None], [None, None])
    assert first[1].isfinite().all() and 0 < first[0].isfinite().sum() < 320
    quote = int(first[0].argmax())
    assert first[0, quote] == 0 and step([matcher, None], [quote, None])[0].isfinite().sum() > 0
    assert step([None, None], [1, 2]).isfinite().all()


@pytest.mark.parametrize("layout", [{}, {"indent": 2}, {"indent": 4}, {"indent": "\t"}, {"separators": (",", ":")}])
def test_the_right_answers_are_admitted_in_every_usual_layout(layout: dict[str, object]) -> None:
    tokenizer = build_tokenizer()
    grammars = Grammars(tokenizer, [EOS], 320)
    lines = (PACKAGE / "suites" / "json_output.jsonl").read_text("utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if "gold" in row]
    assert len(rows) > 20
    for row in rows:
        for ascii_only in (True, False):
            text = json.dumps(row["gold"], ensure_ascii=ascii_only, **layout)  # type: ignore[arg-type]
            matcher: LLMatcher = grammars.begin(held(row["schema"]))
            assert matcher.consume_tokens(tokenizer(text)["input_ids"]), (row["id"], text)
            assert matcher.is_accepting(), (row["id"], text)


def test_several_threads_make_the_masks_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = build_tokenizer()
    requests = [held(schema, name=name) for name, schema in SHORT.items()]
    masks = []
    for threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        grammars = Grammars(tokenizer, [EOS], 320)
        matchers = [*(grammars.begin(request) for request in requests), None]
        first = grammars.masked(torch.zeros(5, 320), matchers, [None] * 5)
        newest = [int(row.argmax()) for row in first]
        masks.append((first, grammars.masked(torch.zeros(5, 320), matchers, newest)))
    for one, several in zip(*masks, strict=True):
        assert one.equal(several) and one[4].isfinite().all() and not one[:4].isfinite().all()
