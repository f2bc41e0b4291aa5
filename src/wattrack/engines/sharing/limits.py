"""How many rows and tokens go through the model at once, from the memory that is free."""

from typing import Any

import torch

from wattrack.engines.sharing.rolling import Capacity
from wattrack.engines.weights.fit import PASS_TOKENS, free_bytes, kv_bytes_per_token

_SHARE = 0.5
"""Of the free memory that keys and values may take; the rest is for activations, logits and the allocator's holes."""
_LOGITS_SHARE = 0.1
_MOST_ROWS = {"cpu": 64, "cuda": 256}
"""More rows than this did not speed up decoding, or were not tried."""
_LEAST_PASS_TOKENS = 256
_UNKNOWN_MEMORY_ROWS = 8
"""Where the system does not say what is free, or a row's state is not made of keys and values."""


def limits(model: Any, asked_rows: int | None, tokens_per_row: int) -> Capacity:
    """Rows as asked, else as many as fit.

    Args:
        model: its configuration, dtype and device count.
        asked_rows: the user's batch size; None = automatic.
        tokens_per_row: prompt, without what is shared, and new tokens of the longest row.
    """
    config = model.config.get_text_config(decoder=True)
    free = free_bytes(model.device.type)
    kind = "cuda" if model.device.type == "cuda" else "cpu"
    size = torch.finfo(model.dtype).bits // 8
    if asked_rows is not None:
        rows = asked_rows
    elif free is None or not hasattr(config, "num_attention_heads"):
        rows = _UNKNOWN_MEMORY_ROWS
    else:
        fitting = int(_SHARE * free) // max(1, kv_bytes_per_token(config, size) * tokens_per_row)
        rows = max(1, min(_MOST_ROWS[kind], fitting))
    tokens = PASS_TOKENS[kind]
    if free is not None:
        # Logits of a pass in the model's dtype and in fp32.
        tokens = min(tokens, max(_LEAST_PASS_TOKENS, int(_LOGITS_SHARE * free / (config.vocab_size * (size + 4)))))
    return Capacity(slots=rows, prefill_tokens=tokens)
