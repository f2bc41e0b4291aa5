"""Token ids of texts that continue others, without tokenising their long common beginning once per continuation.

A tokenizer first splits a text into pre-tokens, from left to right, each decided by the characters of its own and the
one after it, and then cuts every pre-token into tokens by itself. So what is appended to a text changes none of the
pre-tokens that end some way before its end: it is enough to tokenise from such a pre-token on. Every cut is checked on
the text without its continuation; where it does not hold, or the tokenizer makes no pre-tokens (a text is one word, as
for Llama 2) or adds tokens at the end, the whole text is tokenised as usual.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TAIL_CHARACTERS = 64
"""How far before the end a text is cut at least, besides the length of the longest added token."""
_TRIES = 16
"""Characters tried for one that belongs to a pre-token: blanks between them may belong to none."""

Ids = tuple[int, ...]


def encode(tokenizer: "PreTrainedTokenizerBase", pairs: Iterable[tuple[str, str]]) -> dict[str, Ids]:
    """The ids of every context and of every context + continuation, by text, special tokens at the beginning added."""
    contexts: dict[str, set[str]] = {}
    for context, continuation in pairs:
        contexts.setdefault(context, set()).add(context + continuation)
    if not contexts:
        return {}
    ids, cuts = _contexts(tokenizer, list(contexts))
    tails = {text[cuts[c][0] :] for c in cuts for text in (c, *contexts[c])}
    tail_ids = _encode(tokenizer, tails, special=False)
    whole: set[str] = set()
    for context, texts in contexts.items():
        characters, tokens = cuts.get(context, (0, 0))
        if tokens and tail_ids[context[characters:]] == ids[context][tokens:]:
            begin = ids[context][:tokens]
            ids.update({text: begin + tail_ids[text[characters:]] for text in texts})
        else:
            whole |= texts
    return ids | _encode(tokenizer, whole - ids.keys(), special=True)


def _contexts(
    tokenizer: "PreTrainedTokenizerBase", contexts: list[str]
) -> tuple[dict[str, Ids], dict[str, tuple[int, int]]]:
    """Ids of the contexts, and where some of them may be cut: (characters, tokens) before the cut."""
    batch = tokenizer(contexts, add_special_tokens=True, verbose=False)
    ids = {text: tuple(found) for text, found in zip(contexts, batch["input_ids"], strict=True)}
    if batch.encodings is None or _ends_with_special(tokenizer):
        return ids, {}
    margin = _TAIL_CHARACTERS + max(map(len, tokenizer.get_added_vocab()), default=0)
    cuts = {text: _cut(one, len(text), margin) for text, one in zip(contexts, batch.encodings, strict=True)}
    return ids, {text: cut for text, cut in cuts.items() if cut is not None}


def _cut(encoding: Any, length: int, margin: int) -> tuple[int, int] | None:
    """(characters, tokens) before a pre-token that ends at least `margin` characters before the end."""
    last = length - 2 * margin
    for place in range(last, max(last - _TRIES, 0), -1):
        word = encoding.char_to_word(place)
        if word is None:
            continue
        characters, tokens = encoding.word_to_chars(word), encoding.word_to_tokens(word)
        before = encoding.word_to_chars(word - 1) if word else None
        if before is None or characters is None or tokens is None or characters[1] > length - margin:
            return None
        return before[1], tokens[0]
    return None


def _ends_with_special(tokenizer: "PreTrainedTokenizerBase") -> bool:
    plain, special = (_encode(tokenizer, ["a"], special=added)["a"] for added in (False, True))
    return special[-len(plain) :] != plain


def _encode(tokenizer: "PreTrainedTokenizerBase", texts: Iterable[str], *, special: bool) -> dict[str, Ids]:
    ordered = sorted(texts)
    if not ordered:
        return {}
    encoded = tokenizer(ordered, add_special_tokens=special, verbose=False)["input_ids"]
    return {text: tuple(found) for text, found in zip(ordered, encoded, strict=True)}
