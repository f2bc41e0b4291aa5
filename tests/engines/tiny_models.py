"""Tiny random models with a tokenizer of their own, and short ways to ask them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GenerationConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from wattrack.schema import Candidate, ChoiceRequest, Generation, Request

SPECIAL = ["<pad>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>"]
CORPUS = [
    "Question: Tom has 3 apples and buys 14 more. How many apples?\nAnswer: He has 3+14=17 apples. #### 17\n",
    "été déjà vu, 東京 is a city; naïve café — done. \N{GRINNING FACE}\n",
]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
END_IDS = [2, *range(262, 320, 2)]
"""<eos> and every second merged token end an answer: rows of a random model then end at different steps."""


def build_tokenizer(
    *, chat_template: str | None = CHATML, bos: bool = False, pad: bool = True
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of about 320 entries."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(
        CORPUS * 4,
        trainers.BpeTrainer(vocab_size=320, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    if bos:
        from tokenizers.processors import TemplateProcessing

        core.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>" if pad else None,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    tokenizer.chat_template = chat_template
    return tokenizer


SHAPE = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "qwen2": lambda: Qwen2Config(**SHAPE, tie_word_embeddings=True),
    "llama": lambda: LlamaConfig(**SHAPE, tie_word_embeddings=False),
    "gemma2": lambda: Gemma2Config(**SHAPE, head_dim=8, sliding_window=16),
    "gemma2_wide": lambda: Gemma2Config(**SHAPE, head_dim=8, sliding_window=4096),
    "gemma3": lambda: Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=512),
    "qwen3": lambda: Qwen3Config(**SHAPE, head_dim=8),
    "phi3": lambda: Phi3Config(**SHAPE, sliding_window=None),
    "mistral": lambda: MistralConfig(**SHAPE, sliding_window=48),
    "mixtral": lambda: MixtralConfig(**SHAPE, num_local_experts=4, num_experts_per_tok=2),
    "qwen3_moe": lambda: Qwen3MoeConfig(
        **SHAPE, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16
    ),
    "gpt2": lambda: GPT2Config(vocab_size=320, n_positions=256, n_embd=32, n_layer=2, n_head=4, initializer_range=0.4),
    "long_rope": lambda: LlamaConfig(
        **SHAPE, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    ),
    "phi3_long": lambda: Phi3Config(
        **{**SHAPE, "max_position_embeddings": 512},
        sliding_window=None,
        original_max_position_embeddings=64,
        rope_parameters={
            "rope_type": "longrope",
            "short_factor": [1.0] * 4,
            "long_factor": [2.0, 4.0, 8.0, 16.0],
            "rope_theta": 10000.0,
            "original_max_position_embeddings": 64,
            "factor": 8.0,
        },
    ),
    "mamba": lambda: MambaConfig(vocab_size=320, hidden_size=32, state_size=4, num_hidden_layers=2),
}


def build_model(folder: Path, kind: str = "qwen2", **tokenizer_options: object) -> Path:
    """Write a random checkpoint with hostile generation defaults: sampling, repetition penalty, many ends."""
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(CONFIGS[kind]())
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.6,
        top_k=20,
        top_p=0.8,
        repetition_penalty=1.3,
        eos_token_id=END_IDS,
        pad_token_id=0,
    )
    model.save_pretrained(folder)
    build_tokenizer(**tokenizer_options).save_pretrained(folder)
    return folder


def ask(prompt: str, sample_id: str = "q", *, seed: int = 0, repeat: int = 0, **generation: object) -> Request:
    """A completion request; generation settings default to 12 new tokens, greedy."""
    settings = Generation(**{"max_new_tokens": 12, **generation})
    return Request(sample_id=sample_id, repeat=repeat, prompt=prompt, generation=settings, seed=seed)


def ask_choices(context: str, continuations: Sequence[str], sample_id: str = "q") -> ChoiceRequest:
    """One context with several continuations."""
    candidates = tuple(Candidate(context=context, continuation=text) for text in continuations)
    return ChoiceRequest(sample_id=sample_id, repeat=0, candidates=candidates)
