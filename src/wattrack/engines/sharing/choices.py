"""Log-probabilities of continuations: each shared beginning computed once, only the wanted logits, softmax in fp32."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from wattrack.engines.plain.choices import respond, token_logprobs
from wattrack.engines.rows import ChoiceRow
from wattrack.engines.sharing.attention import Prefix
from wattrack.engines.sharing.packing import ROOT, PackedRow, forward
from wattrack.schema import Response


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


def _sums(values: Sequence[float], counts: Sequence[Sequence[int]]) -> Iterator[tuple[float, ...]]:
    rest = iter(values)
    for options in counts:
        yield tuple(sum(next(rest) for _ in range(count)) for count in options)
