"""perf: texts without meaning, for measuring speed, memory and energy at exact lengths; nothing is scored.

The protocol's `prompt_tokens` and `max_new_tokens` with `fixed_length` say how long prompt and answer are, to the token
of the model's own tokenizer, so that models with different tokenizers do the same number of steps. The texts begin with
different words, and every repeat of a text with another of its words: no two prompts have a beginning in common that
an engine could compute once. A user's own texts (`dataset.data_dir` with prompts.txt) are repeated or cut to the same
lengths.
"""

import math

from wattrack.prompts.seeds import derived_seed
from wattrack.schema import Response, Sample, Score
from wattrack.tasks.rows import Located

TEXTS = 100
_WORDS = 200
"""Words of a text; longer prompts repeat it."""
_VOCABULARY = tuple(
    """
    amber anchor apple autumn bamboo barrel basket beacon bottle branch bridge bronze butter candle canvas carpet
    castle cedar cellar chapel cherry circle cliff cloud clover coffee comet copper coral cotton cradle crystal
    dagger desert diamond dolphin dragon eagle ember engine falcon feather fennel fiddle forest fossil garden ginger
    glacier granite hammer harbor hazel helmet honey island ivory jacket jasmine jungle kettle ladder lantern lemon
    linen lizard lumber magnet maple marble meadow mirror monkey morning mountain needle nickel nutmeg ocean olive
    orchard oyster palace paper parrot pebble pepper pillow planet pocket prairie quartz rabbit ribbon river saddle
    salmon sandal shadow silver spider spruce stable summer thunder timber tulip tunnel valley velvet violin walnut
    """.split()  # noqa: SIM905
)


def rows() -> list[Located]:
    """A hundred texts, the same on every machine; each begins with a word of its own."""
    return [(f"text {n}", {"prompt": _text(n)}) for n in range(TEXTS)]


def _text(number: int) -> str:
    drawn = [_VOCABULARY[derived_seed(number, place) % len(_VOCABULARY)] for place in range(1, _WORDS)]
    return " ".join([_VOCABULARY[number], *drawn])


def unscored(sample: Sample, response: Response) -> Score:
    """No score: the texts ask for nothing."""
    return Score(value=math.nan, answer=response.text or None, explanation="speed only: not scored")
