"""Predicts a model's memory from its configuration: built without weights, on the meta device."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import psutil
import torch
from transformers import AutoModelForCausalLM

from wattrack.engines.rows import common
from wattrack.engines.weights.effective import Effective
from wattrack.engines.weights.fit import Fit, Shape, Work, free_bytes, kv_bytes_per_token
from wattrack.engines.weights.settings import Settings
from wattrack.schema import ChoiceRequest, Request

_QUANTIZED_BYTES = {"4bit": 0.516, "8bit": 1.0}
"""Per parameter of a linear layer: NF4 with quantized constants; one byte."""
_WIDENED_ON_CPU = ("fp8", "mxfp4")
"""Quantized checkpoints that transformers loads as bf16 where there is no GPU."""
_TEMPLATE_TOKENS = 32
"""What a chat template adds to a short conversation, about."""


def predict(
    settings: Settings,
    config: Any,
    effective: Effective,
    tokenizer: Any,
    requests: Sequence[Request | ChoiceRequest],
    stored_bytes: int | None = None,
) -> Fit:
    """What these requests need of this model, and what is free. `Fit.refuse` judges it.

    `stored_bytes` is the size of the weight files: what a checkpoint that is quantized already takes.
    """
    model = empty_model(config, effective.dtype)
    device = effective.device.type
    used = int(psutil.Process().memory_info().rss)
    fit = Fit(
        model_id=settings.model_id,
        device=device,
        precision=effective.dtype_name() if effective.quantization == "none" else effective.quantization,
        shape=shape(model, config, effective.dtype, effective.quantization),
        work=replace(_work(requests, tokenizer), packed=settings.mode == "shared"),
        free=free_bytes(device),
        used=used,
    )
    method = _stored_quantization(config, device)
    if method is None:
        return replace(fit, small=_small(config, effective, device, fit.shape))
    if stored_bytes is None:
        return fit
    return replace(fit, precision=f"{fit.precision} and {method}", shape=replace(fit.shape, weight_bytes=stored_bytes))


def empty_model(config: Any, dtype: torch.dtype) -> Any:
    """The architecture without storage: exact sizes in milliseconds."""
    auto: Any = AutoModelForCausalLM
    with torch.device("meta"):
        return auto.from_config(config, dtype=dtype)


def shape(model: Any, whole_config: Any, dtype: torch.dtype, quantization: str) -> Shape:
    """Sizes of an (empty) model; layers without attention count no keys and values."""
    config = whole_config.get_text_config(decoder=True)
    size = torch.finfo(dtype).bits // 8
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    weights = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if quantization != "none":
        output = model.get_output_embeddings()
        linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not output]
        parameters = sum(module.weight.numel() for module in linear)
        weights -= int(parameters * (size - _QUANTIZED_BYTES[quantization]))
    heads = int(getattr(config, "num_attention_heads", None) or 0)
    hidden = int(config.hidden_size)
    attention, kv = 0, 0
    if heads:
        kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
        head_dim = int(getattr(config, "head_dim", None) or hidden // heads)
        attention, kv = 2 * (heads + kv_heads) * head_dim, kv_bytes_per_token(config, size)
    widest = max(2 * int(getattr(config, "intermediate_size", None) or 4 * hidden) + 2 * hidden, hidden + attention)
    return Shape(
        weight_bytes=weights,
        kv_bytes_per_token=kv,
        activation_bytes_per_token=widest * size,
        logits_bytes_per_row=int(config.vocab_size) * (size + 4),
    )


def _stored_quantization(config: Any, device: str) -> str | None:
    """How a checkpoint's weights are quantized and stay so on this device; None = they take their dtype's size."""
    stored = getattr(config, "quantization_config", None)  # a dict, as in config.json
    if stored is None:
        return None
    method = str(stored.get("quant_method", "quantized"))
    return None if device == "cpu" and method in _WIDENED_ON_CPU else method


def _small(config: Any, effective: Effective, device: str, own: Shape) -> Shape | None:
    """Under preset=memory_optimized: narrower numbers, on CUDA 4-bit weights where they can be had."""
    from wattrack.engines.weights.effective import no_bitsandbytes

    quantization = "4bit" if device == "cuda" and no_bitsandbytes() is None else "none"
    found = shape(empty_model(config, torch.bfloat16), config, torch.bfloat16, quantization)
    return found if found.weight_bytes < own.weight_bytes else None


def _work(requests: Sequence[Request | ChoiceRequest], tokenizer: Any) -> Work:
    """The longest prompt by its characters, tokenised; without requests a single row of nothing."""
    texts, new, exact = [""], 0, 0
    for request in requests:
        if isinstance(request, ChoiceRequest):
            texts += [candidate.context + candidate.continuation for candidate in request.candidates]
            continue
        new = max(new, request.generation.max_new_tokens)
        if request.prompt_tokens is not None:
            exact = max(exact, request.prompt_tokens)
        else:
            prompt = request.prompt
            text = prompt if isinstance(prompt, str) else "".join(message.content for message in prompt)
            # Templates show functions as JSON, and before the conversation.
            texts.append("".join(json.dumps(tool, ensure_ascii=False) for tool in request.tools) + text)
    longest = max(texts, key=len)
    rows = len(texts) - 1 if any(isinstance(request, ChoiceRequest) for request in requests) else len(requests)
    first, last = min(texts[1:], default="").encode(), max(texts[1:], default="").encode()
    beginning = first[: common(first, last)].decode(errors="ignore") if len(texts) > 2 else ""
    tokens, shared = (len(tokenizer(text, verbose=False)["input_ids"]) if text else 0 for text in (longest, beginning))
    return Work(
        rows=max(1, rows), prompt_tokens=max(tokens + _TEMPLATE_TOKENS, exact), new_tokens=new, shared_tokens=shared
    )
