"""Configuration values of published models, for random weights where neither hub nor folder gives a config.json.

The values are those of each model's own published config.json. A family that is not here needs its config.json.
"""

from collections.abc import Mapping

Values = Mapping[str, object]

_QWEN25: Values = {
    "model_type": "qwen2",
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rope_theta": 1000000.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "dtype": "bfloat16",
}


def _qwen25(hidden: int, layers: int, heads: tuple[int, int], intermediate: int, **more: object) -> Values:
    return {
        **_QWEN25,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "intermediate_size": intermediate,
        **more,
    }


_SMALL: Values = {"vocab_size": 151936, "tie_word_embeddings": True, "rms_norm_eps": 1e-6}
_LARGE: Values = {"vocab_size": 152064, "tie_word_embeddings": False}

ARCHITECTURES: Mapping[str, Values] = {
    "Qwen/Qwen2.5-0.5B-Instruct": _qwen25(896, 24, (14, 2), 4864, **_SMALL),
    "Qwen/Qwen2.5-1.5B-Instruct": _qwen25(1536, 28, (12, 2), 8960, **_SMALL),
    "Qwen/Qwen2.5-3B-Instruct": _qwen25(2048, 36, (16, 2), 11008, **_SMALL),
    "Qwen/Qwen2.5-7B-Instruct": _qwen25(3584, 28, (28, 4), 18944, **_LARGE, rms_norm_eps=1e-6),
    "Qwen/Qwen2.5-14B-Instruct": _qwen25(5120, 48, (40, 8), 13824, **_LARGE, rms_norm_eps=1e-5),
    "Qwen/Qwen2.5-32B-Instruct": _qwen25(5120, 64, (40, 8), 27648, **_LARGE, rms_norm_eps=1e-5),
}
"""By hub id."""
