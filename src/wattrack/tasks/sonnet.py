"""sonnet: shuffled lines of Shakespeare's sonnets, for measuring speed under a mixture of lengths; nothing is scored.

The load is llmperf's (ray-project/llmperf): prompts of 550 tokens and answers of 150 on average, with standard
deviations of 150 and 80. Ours differ on purpose: lengths are exact in the model's own tokenizer (there: one Llama
tokenizer for every model, and the answer's length is only asked for), and no instruction stands before the lines,
which would be a beginning that all prompts share. Every text begins with another line, every repeat with another of
the text's lines.
"""

from importlib import resources

from wattrack.prompts.seeds import derived_seed
from wattrack.tasks.rows import Located

FILE = "suites/sonnets.txt"
TEXTS = 100
LINES = 112
"""Of a text: some 1,200 tokens of a usual tokenizer; longer prompts repeat them."""


def lines() -> list[str]:
    """The verses of the shipped sonnets, in their order."""
    text = (resources.files("wattrack") / FILE).read_text("utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def rows() -> list[Located]:
    """A hundred texts, the same on every machine."""
    every = lines()
    firsts = _shuffled(every, "first lines")
    return [(f"text {n}", {"prompt": _text(n, firsts[n], every)}) for n in range(TEXTS)]


def _text(number: int, first: str, every: list[str]) -> str:
    others = [line for line in _shuffled(every, number) if line != first]
    return "\n".join([first, *others][:LINES])


def _shuffled(every: list[str], by: object) -> list[str]:
    """In an order that only `by` and the lines decide."""
    return sorted(every, key=lambda line: derived_seed("sonnet", by, line))
