"""Whether a model computes the same when rows share a prefix; what is not known to is refused, with the reason."""

from typing import Any

from wattrack.engines.weights import ropes


def why_not(model: Any, longest: int) -> str | None:
    """Why prefixes cannot be shared for texts of up to `longest` tokens, or None.

    Passing is no proof: the engine's self-test compares the two modes on real passes.
    """
    config = model.config.get_text_config(decoder=True)
    if getattr(config, "is_encoder_decoder", False):
        return "an encoder sees the whole prompt at once"
    if not type(model)._can_set_attn_implementation():
        return f"{type(model).__name__} computes its attention in a way of its own"
    kinds = set(getattr(config, "layer_types", None) or ())
    if strange := sorted(kinds - {"full_attention", "sliding_attention"}):
        return f"the model has layers of {', '.join(strange)}, whose state cannot be shared"
    window = getattr(config, "sliding_window", None)
    if window is not None and longest > window and (not kinds or "sliding_attention" in kinds):
        return f"texts of up to {longest} tokens exceed the sliding window of {window}"
    if (rope := ropes.by_length(config)) is not None:
        return f"{rope} rotary embeddings depend on the length of the whole text"
    if any(getattr(module, "sinks", None) is not None for module in model.modules()):
        return "its attention sinks take part in every softmax"
    return None
