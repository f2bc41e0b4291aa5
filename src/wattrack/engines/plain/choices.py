"""Log-probabilities of continuations, every option as a row of its own; softmax in fp32."""

import time
from collections.abc import Sequence
from typing import Any

import torch

from wattrack.answering import Timing, Usage
from wattrack.engines.rows import ChoiceRow, Option
from wattrack.engines.weights import ropes
from wattrack.schema import Response


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


def token_logprobs(logits: torch.Tensor, at: Sequence[int], tokens: Sequence[int]) -> list[float]:
    """log softmax(logits[at])[token] for every pair, softmax in fp32; `logits` is (places, vocabulary)."""
    # Rows in slices: an fp32 copy of everything at once would be the largest tensor of the job.
    step = max(1, 2**26 // logits.shape[-1])
    lse = torch.cat([logits[i : i + step].float().logsumexp(-1) for i in range(0, len(logits), step)])
    places = torch.tensor(at, device=logits.device)
    chosen = logits[places, torch.tensor(tokens, device=logits.device)].float()
    values: list[float] = (chosen - lse[places]).tolist()
    return values


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
