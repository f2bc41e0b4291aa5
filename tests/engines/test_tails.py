"""Texts tokenised from a cut on have the ids of the whole text, whatever the tokenizer does."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from engines.tiny_models import build_tokenizer
from wattrack.engines.text import tails

CORPUS = [
    "the cat sat on the mat, and 123 dogs ran; she's gone\n\nQuestion: what?\nAnswer: ",
    "aaaa bbbb  cccc é ñ",
] * 9
SPLIT = r"'s|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
MARK = "<|a long marker of a turn|>"


def wrap(core: Tokenizer, trainer: trainers.Trainer) -> PreTrainedTokenizerFast:
    core.train_from_iterator(CORPUS, trainer)
    core.add_special_tokens([AddedToken(MARK, special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>")


def qwen_like() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.normalizer = normalizers.NFC()
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return wrap(core, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=["<unk>"]))


def with_prefix_space() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.post_processor = processors.ByteLevel(trim_offsets=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return wrap(core, trainers.BpeTrainer(vocab_size=350, initial_alphabet=alphabet, special_tokens=["<unk>"]))


def sentence_pieces() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    return wrap(core, trainers.UnigramTrainer(vocab_size=80, special_tokens=["<unk>"], unk_token="<unk>"))


def one_word() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.normalizer = normalizers.Replace(" ", "▁")
    return wrap(core, trainers.BpeTrainer(vocab_size=90, special_tokens=["<unk>"]))


def lower_case() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordPiece(unk_token="<unk>"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return wrap(core, trainers.WordPieceTrainer(vocab_size=90, special_tokens=["<unk>"]))


def with_bos() -> PreTrainedTokenizerFast:
    return build_tokenizer(bos=True)


def with_eos() -> PreTrainedTokenizerFast:
    tokenizer = qwen_like()
    core = tokenizer.backend_tokenizer
    core.post_processor = processors.TemplateProcessing(single="$A <unk>", special_tokens=[("<unk>", 0)])
    return tokenizer


KINDS: list[Callable[[], PreTrainedTokenizerFast]] = [
    qwen_like,
    with_prefix_space,
    sentence_pieces,
    one_word,
    lower_case,
    with_bos,
    with_eos,
]
pieces = st.sampled_from(
    ["the cat", " mat", "\n\n", "  ", "a" * 30, "1234", "é", "e\u0301", "\u0301", ", ", MARK, "'s"]
)
texts = st.lists(pieces | st.text(max_size=8), max_size=40).map("".join)
ends = st.sampled_from(["", MARK[:9], " " * 90, "b" * 200, "e", "\r"])
continuations = st.sampled_from([" A", "", MARK[9:], "\u0301", "s", "\n", " " * 5]) | st.text(max_size=9)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    made: PreTrainedTokenizerFast = request.param()
    return made


def plain(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=True).input_ids)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.builds("{}{}".format, texts, ends), continuations), max_size=4),
    header=texts.map(lambda text: 3 * text),
)
def test_the_ids_are_those_of_the_whole_texts(
    tokenizer: PreTrainedTokenizerFast, pairs: list[tuple[str, str]], header: str
) -> None:
    pairs = [(header + context, continuation) for context, continuation in pairs]
    expected = {text: plain(tokenizer, text) for c, k in pairs for text in (c, c + k)}
    assert tails.encode(tokenizer, pairs) == expected


def test_a_long_context_is_cut_near_its_end() -> None:
    context = "the cat sat on the mat. " * 40
    tokenizer = qwen_like()
    _, cuts = tails._contexts(tokenizer, [context, "the cat"])
    characters, tokens = cuts.pop(context)
    assert cuts == {} and len(context) - 300 < characters < len(context) - 64 and tokens > 0


def test_a_tokenizer_that_makes_no_words_is_not_cut() -> None:
    context = "the cat sat on the mat. " * 40
    for kind in (one_word, with_eos):
        assert tails._contexts(kind(), [context])[1] == {}
