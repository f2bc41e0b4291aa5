"""What was read and written: tokens, letters, words."""

from wattrack.metrics.metric import Metric

_SIZE = "it says how much work the questions were, not how well it was done"

ROWS = {
    "tokens/input": Metric("tokens", "neither", "prompt tokens of the generate phase, no padding", not_shown=_SIZE),
    "tokens/output": Metric(
        "tokens", "neither", "output tokens of the generate phase, end token counted once", not_shown=_SIZE
    ),
    "tokens/computed": Metric(
        "tokens", "neither", "token positions really computed, padding excluded", not_shown=_SIZE
    ),
    "tokens/output_mean": Metric("tokens", "neither", "output tokens per answered question", not_shown=_SIZE),
    "answers/chars_mean": Metric("characters", "neither", "length of the answers as text", not_shown=_SIZE),
    "answers/words_mean": Metric("words", "neither", "blank-separated words per answer", not_shown=_SIZE),
    "answers/thinking_chars_mean": Metric(
        "characters",
        "neither",
        "reasoning blocks per answer, marks included; part of chars_mean, never scored",
        not_shown=_SIZE,
    ),
    "answers/thinking_tokens_mean": Metric(
        "tokens",
        "neither",
        "output tokens that hold reasoning or its marks, mean over the answers; absent if unknown",
        not_shown=_SIZE,
    ),
    "answers/thinking_token_share": Metric(
        "1",
        "neither",
        "output tokens that hold reasoning or its marks / all output tokens (part of tokens/output)",
        not_shown=_SIZE,
    ),
}
