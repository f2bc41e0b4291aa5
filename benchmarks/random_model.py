"""A random-weights Qwen2-style model of about 30 M parameters, with a tokenizer trained on the spot.

Random weights take the same time and memory as trained ones. Their spread is wider than a fresh initialisation, so
that log-probabilities of different answers lie apart as a trained model's do, and generated text does not loop.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from wattrack.tasks.rows import find_local, local_rows

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE: dict[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.08,
    "tie_word_embeddings": False,
}
CORPUS = (("gsm8k", "train"), ("mmlu", "dev"), ("arc_challenge", "train"), ("hellaswag", "validation"))
CORPUS_ROWS = 2000
"""Rows of each split that the tokenizer learns from."""


def build(folder: Path, data: Path, seed: int = 0) -> int:
    """Write model and tokenizer to `folder`; returns the number of parameters."""
    tokenizer = build_tokenizer(_texts(data), SHAPE["vocab_size"])
    torch.manual_seed(seed)
    config = Qwen2Config(**SHAPE, bos_token_id=None, eos_token_id=2, pad_token_id=0)
    model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    model.generation_config = GenerationConfig(eos_token_id=[2, 0], pad_token_id=0)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def build_tokenizer(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer without a begin token, with a chat template, as Qwen2's is."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def _texts(data: Path) -> Iterator[str]:
    for folder, split in CORPUS:
        for _, row in local_rows(find_local(data / folder, split))[:CORPUS_ROWS]:
            yield from (value for value in row.values() if isinstance(value, str))
