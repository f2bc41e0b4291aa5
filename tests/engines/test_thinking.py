"""Reasoning counted in tokens: against a count by characters, for marks that are tokens, special tokens or spelled."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from transformers.tokenization_utils_base import AddedToken

from engines.test_hf_requests import only, scripted
from engines.tiny_models import CHATML, SHAPE, ask, build_tokenizer
from wattrack.engines.hf import HFEngine
from wattrack.engines.text.thinking import Marks
from wattrack.journal import response_from_json, response_to_json
from wattrack.schema import Generation, Message, Request
from wattrack.scorers import reasoning

PLAIN, SPECIAL = ("<think>", "</think>"), ("[THINK]", "[/THINK]")
EOS = 2


def tokenizer_with(*, plain: Sequence[str] = (), special: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Qwen3's marks are added tokens that are not special; Mistral's are special."""
    tokenizer = build_tokenizer(chat_template=CHATML + "{% if add_generation_prompt %}<think>\n{% endif %}")
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in plain])
    tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    return tokenizer


KINDS = {
    "spelled": tokenizer_with(),
    "tokens": tokenizer_with(plain=(*PLAIN, *SPECIAL)),
    "special": tokenizer_with(special=(*PLAIN, *SPECIAL)),
    "both": tokenizer_with(plain=PLAIN, special=SPECIAL),
}
PIECES = [*PLAIN, *SPECIAL, "<thinking>", "</THINK>", "3 + 4", " apples", "\n\n", "<", ">", "[/", "é", "東"]


def encoded(kind: str, pieces: Sequence[str]) -> list[int]:
    """Ids of the pieces; one that begins with ~ is spelled, letter by letter, also where it has a token."""
    tokenizer = KINDS[kind]
    parts = [letter for piece in pieces for letter in (piece[1:] if piece.startswith("~") else [piece])]
    return [token for part in parts for token in tokenizer(part, add_special_tokens=False)["input_ids"]]


def counted_by_characters(marks: Marks, ids: Sequence[int], prompt: str) -> int:
    """Every token by the characters that it adds to the text: those of reasoning, or of the answer."""
    text = marks.text(ids)
    reply = reasoning.read(text, prompt)
    end = reply.start + len(reply.answer)
    count, last = 0, 0
    for place in range(1, len(ids) + 1):
        # Bytes of an unfinished character are replaced; only whole ones count.
        reached = len(marks.text(ids[:place]).rstrip("\ufffd"))
        behind = reply.unfinished and (max(reached, last) > end or (last >= end and not reply.answer))
        count += last < reply.start or behind
        last = max(last, reached)
    return count


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.sampled_from([*PIECES, *(f"~{piece}" for piece in PIECES)]), max_size=12),
    st.sampled_from(["", "Q\n<think>\n"]),
)
def test_tokens_are_counted_as_characters_are(kind: str, pieces: list[str], prompt: str) -> None:
    marks, ids = Marks(KINDS[kind]), encoded(kind, pieces)
    found = marks.thinking_tokens(ids, marks.text(ids), prompt)
    assert 0 <= found <= len(ids)
    assert found == counted_by_characters(marks, ids, prompt)
    # An end token is the answer's, or the last of a block that never closes.
    reply = reasoning.read(marks.text(ids), prompt)
    ended = marks.thinking_tokens([*ids, EOS], marks.text(ids), prompt)
    assert ended == found + (reply.unfinished and (bool(ids) or bool(prompt)) and reply.thinking_chars > 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["3 + 4", " apples", "\n", "é", "<", "[/"]), max_size=8))
def test_special_marks_are_text_and_no_other_special_token_is(pieces: list[str]) -> None:
    marks, tokenizer = Marks(KINDS["special"]), KINDS["special"]
    ids = encoded("special", pieces)
    plain = tokenizer.decode(ids, skip_special_tokens=True)
    opening, closing = (tokenizer.convert_tokens_to_ids(mark) for mark in SPECIAL)
    assert marks.text([opening, *ids, closing, *ids, EOS]) == f"[THINK]{plain}[/THINK]{plain}"
    assert marks.text([*ids, EOS]) == plain


GOLDEN = [
    # pieces, prompt, tokens of reasoning among them where every piece is one token of its own
    (["<think>", "3", "</think>", "4", "4"], "", 3),
    (["3", "</think>", "4"], "user\n<think>\n", 2),
    (["3", "3"], "user\n<think>\n", 2),
    (["<think>", "3", "3"], "", 3),
    (["<think>", "3", "</think>", "4", "<think>", "5"], "", 5),
    (["4", "4"], "", 0),
    (["[THINK]", "3", "[/THINK]", "4"], "", 3),
]


@pytest.mark.parametrize("kind", ["tokens", "special", "both"])
@pytest.mark.parametrize(("pieces", "prompt", "expected"), GOLDEN)
def test_golden_counts(kind: str, pieces: list[str], prompt: str, expected: int) -> None:
    marks, ids = Marks(KINDS[kind]), encoded(kind, pieces)
    assert len(ids) == len(pieces)
    assert marks.thinking_tokens(ids, marks.text(ids), prompt) == expected


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HFEngine]:
    """A random model whose tokenizer has both kinds of marks and a template that opens the block."""
    folder = tmp_path_factory.mktemp("reasoner")
    torch.manual_seed(1)
    Qwen2ForCausalLM(Qwen2Config(**{**SHAPE, "vocab_size": 336}, tie_word_embeddings=True)).save_pretrained(folder)
    KINDS["both"].save_pretrained(folder)
    built = HFEngine(model_id=str(folder), dtype="fp32", batch_size=4, threads=1, mode="naive")
    built.load()
    yield built
    built.close()


def says(engine: HFEngine, request: Request, text: str) -> tuple[str, int, int | None]:
    """(text, output tokens, reasoning tokens) when the model says `text` and ends."""
    loaded, renderer = engine._ready()
    ((row,), _) = renderer.rows([request])
    new = [*loaded.tokenizer(text, add_special_tokens=False)["input_ids"], EOS]
    with scripted(engine, {len(row.ids): new}):
        (response,) = only(engine, request)
    assert response.error is None
    assert response_from_json(response_to_json(response)) == response
    return response.text, response.usage.output_tokens, response.usage.reasoning_tokens


def test_answers_of_an_engine_say_how_many_tokens_are_reasoning(engine: HFEngine) -> None:
    def tokens(text: str) -> int:
        return len(engine._ready()[0].tokenizer(text, add_special_tokens=False)["input_ids"])

    plain = ask("Tom has 3 apples", max_new_tokens=40)
    said = "[THINK]3 + 14[/THINK]17"
    assert says(engine, plain, said) == (said, tokens(said) + 1, tokens("[THINK]3 + 14[/THINK]"))
    assert says(engine, plain, "17") == ("17", tokens("17") + 1, 0)
    chat = Request(
        sample_id="q", repeat=0, prompt=(Message(role="user", content="Tom?"),), seed=0,
        generation=Generation(max_new_tokens=40),
    )  # fmt: skip
    opened = "3 + 14</think>17"
    assert says(engine, chat, opened) == (opened, tokens(opened) + 1, tokens("3 + 14</think>"))
    assert says(engine, chat, "3 + 14") == ("3 + 14", tokens("3 + 14") + 1, tokens("3 + 14") + 1)


def test_a_mark_can_be_a_stop_string(engine: HFEngine) -> None:
    request = ask("Tom has 3 apples", max_new_tokens=40, stop=("[/THINK]",))
    text, output, thinking = says(engine, request, "[THINK]3[/THINK]17")
    assert (text, output, thinking) == ("[THINK]3", 3, 3)
