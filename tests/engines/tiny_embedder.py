"""A tiny random encoder in the layout of sentence-transformers, made on the spot."""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

WORDS = "[PAD] [UNK] [CLS] [SEP] a cat sits on the mat dog runs red blue house 12 is it no".split()  # noqa: SIM905
MAX_TOKENS = 8
"""With [CLS] and [SEP]: six words."""


def build_embedder(folder: Path, pooling: str = "mean", *, normalise: bool = True, prompt: str = "") -> Path:
    """Write a random checkpoint that pools as said; the same weights every time."""
    core = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, initializer_range=0.4,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    kinds = ["Transformer", "Pooling", *(["Normalize"] if normalise else [])]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": i, "name": str(i), "path": paths[i], "type": f"sentence_transformers.models.{kind}"}
        for i, kind in enumerate(kinds)
    ]
    flags = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens", "lasttoken": "pooling_mode_lasttoken"}
    (folder / "1_Pooling").mkdir()
    written = {
        "modules.json": modules,
        "1_Pooling/config.json": {"word_embedding_dimension": 32, **{flag: k == pooling for k, flag in flags.items()}},
        "sentence_bert_config.json": {"max_seq_length": MAX_TOKENS, "do_lower_case": False},
    }
    if prompt:
        written["config_sentence_transformers.json"] = {"prompts": {"p": prompt}, "default_prompt_name": "p"}
    for name, content in written.items():
        (folder / name).write_text(json.dumps(content), "utf-8")
    return folder
