"""Log-probabilities of continuations: each shared beginning computed once, only the wanted logits, softmax in fp32."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from wattrack.answering import Timing, Usage
from wattrack.engines import ropes
from wattrack.engines.attention import Prefix
from wattrack.engines.packing import ROOT, PackedRow, forward
from wattrack.engines.prefixes import common
from wattrack.schema import ChoiceRequest, Response


@dataclass(frozen=True, slots=True)
class Option:
    """One candidate, tokenised as a whole."""

    ids: tuple[int, ...]
    """Context and continuation."""
    start: int
    """Where the continuation begins; at least 1."""


@dataclass(frozen=True, kw_only=True)
class ChoiceRow:
    """One choice question, tokenised."""

    request: ChoiceRequest
    options: tuple[Option, ...]
    merged: int
    prompt_text: str

    @cached_property
    def ids(self) -> tuple[int, ...]:
        """The longest option's."""
        return max((option.ids for option in self.options), key=len)

    def packed_tokens(self, prefix: int) -> int:
        """Tokens computed for this question on top of a prefix."""
        root = self.root_length
        return root - prefix + sum(len(option.ids) - 1 - root for option in self.options)

    @cached_property
    def shareable(self) -> tuple[int, ...]:
        """The ids that a prefix may cover: common to all options, and before the first place whose logits count."""
        first = self.options[0].ids
        limit = min(option.start - 1 for option in self.options)
        return first[: min(limit, self.root_length)]

    @cached_property
    def root_length(self) -> int:
        """Tokens on which the inputs of all options agree (an option's last token is never an input)."""
        first = self.options[0].ids[:-1]
        return min((common(first, option.ids[:-1]) for option in self.options[1:]), default=len(first))


@dataclass(frozen=True, slots=True)
class _Laid:
    """A choice row on top of a prefix, and where the logits of each option's tokens are."""

    row: PackedRow
    wanted: tuple[tuple[tuple[int, int], ...], ...]
    """Per option: (index into the row's kept logits, token)."""


def lay(question: ChoiceRow, prefix: int) -> _Laid:
    """Root and branches of one question, without the first `prefix` tokens."""
    root = question.root_length
    ids, positions = list(question.options[0].ids[prefix:root]), list(range(prefix, root))
    segments = [ROOT] * len(ids)
    places: list[list[int]] = []
    for number, option in enumerate(question.options, start=1):
        branch = option.ids[root:-1]
        begin = len(ids)
        ids += branch
        positions += range(root, root + len(branch))
        segments += [number] * len(branch)
        inputs = range(option.start - 1, len(option.ids) - 1)
        places.append([i - prefix if i < root else begin + i - root for i in inputs])
    keep = sorted({place for row in places for place in row})
    order = {place: n for n, place in enumerate(keep)}
    wanted = tuple(
        tuple((order[place], token) for place, token in zip(row, option.ids[option.start :], strict=True))
        for row, option in zip(places, question.options, strict=True)
    )
    return _Laid(PackedRow(tuple(ids), tuple(positions), tuple(segments), tuple(keep)), wanted)


def score_packed(model: Any, questions: Sequence[ChoiceRow], prefix: Prefix) -> list[Response]:
    """All questions in one pass over their common prefix, under `attention.sharing`."""
    started_s, started_unix_ms = time.perf_counter(), time.time_ns() // 1_000_000
    laid = [lay(question, prefix.length) for question in questions]
    logits, _ = forward(model, [one.row for one in laid], prefix)
    at: list[int] = []
    tokens: list[int] = []
    begin = 0
    for one in laid:
        for pairs in one.wanted:
            at += [begin + index for index, _ in pairs]
            tokens += [token for _, token in pairs]
        begin += len(one.row.keep)
    with torch.inference_mode():
        values = token_logprobs(logits, at, tokens)
    counts = [[len(pairs) for pairs in one.wanted] for one in laid]
    latency_s = time.perf_counter() - started_s
    return [
        respond(question, sums, latency_s, started_unix_ms, len(questions))
        for question, sums in zip(questions, _sums(values, counts), strict=True)
    ]


def token_logprobs(logits: torch.Tensor, at: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """log softmax(logits[at])[token] for every pair, softmax in fp32; `logits` is (places, vocabulary)."""
    # Rows in slices: an fp32 copy of everything at once would be the largest tensor of the job.
    step = max(1, 2**26 // logits.shape[-1])
    lse = torch.cat([logits[i : i + step].float().logsumexp(-1) for i in range(0, len(logits), step)])
    places = torch.tensor(at, device=logits.device)
    chosen = logits[places, torch.tensor(tokens, device=logits.device)].float()
    values: list[float] = (chosen - lse[places]).tolist()
    return values


def _sums(values: Sequence[float], counts: Sequence[Sequence[int]]) -> Iterator[tuple[float, ...]]:
    rest = iter(values)
    for options in counts:
        yield tuple(sum(next(rest) for _ in range(count)) for count in options)


def respond(
    question: ChoiceRow, sums: tuple[float, ...], latency_s: float, started_unix_ms: int, batch_size: int
) -> Response:
    """The Response of one question; its text is the most probable continuation, the first of equals."""
    request = question.request
    best = max(range(len(sums)), key=lambda i: (sums[i], -i))
    return Response(
        sample_id=request.sample_id,
        repeat=request.repeat,
        text=request.candidates[best].continuation.strip(),
        finish_reason="stop",
        usage=Usage(input_tokens=sum(len(option.ids) for option in question.options), output_tokens=0),
        timing=Timing(done_s=latency_s, sent_unix_ms=started_unix_ms),
        batch_size=batch_size,
        prompt_text=question.prompt_text,
        logprobs=sums,
        merged_boundaries=question.merged,
    )


def score_naive(model: Any, questions: Sequence[ChoiceRow], pad_id: int) -> list[Response]:
    """Every option as a row of its own, right-padded, nothing shared: the reference."""
    started_s, started_unix_ms = time.perf_counter(), time.time_ns() // 1_000_000
    options = [option for question in questions for option in question.options]
    sums = [0.0] * len(options)
    for some in ropes.apart([(len(option.ids), 0) for option in options], ropes.limit(model)):
        for i, value in zip(some, _plain_sums(model, [options[i] for i in some], pad_id), strict=True):
            sums[i] = value
    latency_s = time.perf_counter() - started_s
    responses, rest = [], iter(sums)
    for question in questions:
        own = tuple(next(rest) for _ in question.options)
        responses.append(respond(question, own, latency_s, started_unix_ms, len(options)))
    return responses


def _plain_sums(model: Any, options: Sequence[Option], pad_id: int) -> list[float]:
    """Log-probabilities of the options' continuations, from one padded pass."""
    width = max(len(option.ids) - 1 for option in options)
    ids = [[*option.ids[:-1], *(pad_id,) * (width + 1 - len(option.ids))] for option in options]
    mask = [[1] * (len(option.ids) - 1) + [0] * (width + 1 - len(option.ids)) for option in options]
    inputs = {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
    ropes.forget(model)
    with torch.inference_mode():
        logits = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()}, use_cache=False).logits
        return [
            sum(token_logprobs(row, range(o.start - 1, len(o.ids) - 1), o.ids[o.start :]))
            for row, o in zip(logits, options, strict=True)
        ]
