"""The start-up check of mode `shared`: the same texts packed over a shared prefix and one at a time, plainly.

Its texts are short and of unequal length; rows and branches, prompt passes and decoding steps are all compared. bf16
and fp16 kernels round differently for other shapes (up to 0.03 in a log-probability is common), a wrong mask or
position moves them by whole units: the tolerance lies between.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from wattrack.engines.plain.choices import score_naive
from wattrack.engines.rows import ChoiceRow, Option, TextRow
from wattrack.engines.sharing.attention import Prefix, sharing
from wattrack.engines.sharing.choices import score_packed
from wattrack.engines.sharing.packing import compute_prefix
from wattrack.engines.sharing.rolling import Capacity, RollingBatch
from wattrack.engines.text.stops import StopStrings
from wattrack.engines.weights.loaded import Loaded
from wattrack.schema import Candidate, ChoiceRequest, Generation, Request

TOLERANCE = {torch.float32: 1e-3}
HALF_TOLERANCE = 0.5
"""Natural-log units, for dtypes of two bytes; summed over a continuation of a few tokens."""

_HEAD = "The table below lists the towns of the valley, their rivers and how many people live in each of them.\n"
_TAILS = (
    "Question: how many people live in the second town?",
    "Answer:",
    "Near the bridge there are 12 houses, a mill and, since 1904, a school with 3 classes.",
    "42",
)
_ENDINGS = (" The number is 7.", " No.", " Nobody knows who lives there")
_NEW_TOKENS = 6


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the two modes are apart on the same texts, and how far they may be."""

    largest_difference: float
    """Of a log-probability between the two modes."""
    tolerance: float
    items: int

    @property
    def passed(self) -> bool:
        """Whether the modes agree; NaN does not."""
        return self.largest_difference <= self.tolerance


def self_test(loaded: Loaded) -> Agreement:
    """Compare the two modes on this model, in this dtype, on this device."""
    head = _ids(loaded, _HEAD)
    tails = [_tail(loaded, head, tail) for tail in _TAILS]
    questions = [_question(loaded, head, tail) for tail in tails]
    worst = max(_scores_differ(loaded, head, questions), _tokens_differ(loaded, head, tails))
    tolerance = TOLERANCE.get(loaded.effective.dtype, HALF_TOLERANCE)
    return Agreement(worst, tolerance, len(questions))


def longest_text(loaded: Loaded) -> int:
    """Tokens of the longest text that `self_test` runs."""
    head = _ids(loaded, _HEAD)
    questions = [_question(loaded, head, _tail(loaded, head, tail)) for tail in _TAILS]
    return max(len(question.ids) for question in questions)


def _scores_differ(loaded: Loaded, head: Sequence[int], questions: Sequence[ChoiceRow]) -> float:
    with sharing(loaded):
        packed = score_packed(loaded.model, questions, compute_prefix(loaded.model, head))
    plain = [score_naive(loaded.model, [question], loaded.pad_id)[0] for question in questions]
    return max(
        abs(a - b) for p, n in zip(packed, plain, strict=True) for a, b in zip(p.logprobs, n.logprobs, strict=True)
    )


def _tokens_differ(loaded: Loaded, head: Sequence[int], tails: Sequence[tuple[int, ...]]) -> float:
    """How much less probable than the plain pass's favourite a generated token is, at most; 0 = the same tokens."""
    rows = [_row(str(n), (*head, *tail)) for n, tail in enumerate(tails)]
    # Three slots for four rows: one has to leave before the last enters.
    limits = Capacity(slots=3, prefill_tokens=2**20)
    stops = StopStrings((), lambda ids: "", lambda token: "")
    with sharing(loaded):
        prefix: Prefix = compute_prefix(loaded.model, head)
        generation = Generation(max_new_tokens=_NEW_TOKENS)
        batch = RollingBatch(loaded.model, prefix, rows, generation, end_ids=(), stops=stops, limits=limits)
        answers = [answer for finished in batch.run() for answer in finished]
    worst = 0.0
    for answer in answers:
        ids = [*answer.row.ids, *answer.ids]
        with torch.inference_mode():
            logits = loaded.model(torch.tensor([ids[:-1]], device=loaded.device), use_cache=False).logits[0].float()
        places = range(len(answer.row.ids) - 1, len(ids) - 1)
        gaps = [float(logits[i].max() - logits[i, token]) for i, token in zip(places, answer.ids, strict=True)]
        worst = max(worst, *(gap if gap == gap else float("inf") for gap in gaps))
    return worst


def _ids(loaded: Loaded, text: str) -> tuple[int, ...]:
    return tuple(loaded.tokenizer(text)["input_ids"])


def _tail(loaded: Loaded, head: Sequence[int], tail: str) -> tuple[int, ...]:
    ids = loaded.tokenizer(tail, add_special_tokens=False)["input_ids"]
    room = (loaded.context or 2**30) - len(head) - _NEW_TOKENS - 1
    return tuple(ids[: max(1, room // 2)])


def _question(loaded: Loaded, head: Sequence[int], tail: tuple[int, ...]) -> ChoiceRow:
    context = (*head, *tail)
    room = max(1, (loaded.context or 2**30) - len(context))
    endings = [loaded.tokenizer(e, add_special_tokens=False)["input_ids"][:room] for e in _ENDINGS]
    candidates = tuple(Candidate(context="", continuation=ending) for ending in _ENDINGS)
    options = tuple(Option((*context, *ending), len(context)) for ending in endings)
    request = ChoiceRequest(sample_id="self-test", repeat=0, candidates=candidates)
    return ChoiceRow(request=request, options=options, merged=0, prompt_text="")


def _row(name: str, ids: tuple[int, ...]) -> TextRow:
    generation = Generation(max_new_tokens=_NEW_TOKENS)
    request = Request(sample_id=name, repeat=0, prompt="", generation=generation, seed=0)
    return TextRow(request=request, ids=ids, prompt_text="")
