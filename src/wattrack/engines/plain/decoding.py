"""One batch through generate(): left padding in, one Response per row out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from wattrack.answering import Timing, Usage
from wattrack.engines.constrained.constraint import ConstraintProcessor, Grammars, failure
from wattrack.engines.plain.stamps import SeededSampler, StampStreamer, StopRows
from wattrack.engines.rows import TextRow, failed
from wattrack.engines.text.stops import StopStrings
from wattrack.engines.weights.loaded import Loaded
from wattrack.errors import EngineError
from wattrack.schema import Generation, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoding:
    """How tokens are chosen and where answers end: the same for all batches of equal sampling settings."""

    generation: Generation
    """With the largest max_new_tokens of the rows; each row ends at its own."""
    config: GenerationConfig
    end_ids: tuple[int, ...]
    stops: StopStrings
    grammars: Grammars | None = None
    """The masks of the rows that are held to a schema; None when no row is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The tokens of one row, as they came."""

    row: TextRow
    ids: Sequence[int]
    """Up to and including the end token or the one that completed a stop string."""
    ended: bool
    """Whether it came to its own end; False when it was cut at max_new_tokens."""
    times_s: Sequence[float]
    batch_size: int
    started_unix_ms: int
    failure: str | None = None
    """Why it is no answer; None where nothing went wrong."""


def plan(loaded: Loaded, generation: Generation, longest_prompt: int, grammars: Grammars | None = None) -> Decoding:
    """Prepare the settings. `longest_prompt` (tokens) sizes a static cache for all batches."""
    tokenizer = loaded.tokenizer
    special = _unwritten(loaded, generation.stop)
    end_ids = tuple(dict.fromkeys((*loaded.end_ids, *special.values())))
    if generation.fixed_length:
        end_ids = ()
    cache = dict(loaded.effective.cache)
    if cache.get("cache_implementation") == "static":
        loaded.static_length = max(loaded.static_length, longest_prompt + generation.max_new_tokens)
        cache["max_cache_len"] = loaded.static_length
    config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=generation.max_new_tokens,
        do_sample=False,  # sampling is greedy over seeded noise: see SeededSampler
        eos_token_id=list(end_ids) or None,
        pad_token_id=loaded.pad_id,
        **cache,
    )
    stops = StopStrings(
        [stop for stop in generation.stop if stop not in special],
        loaded.marks.text,
        lambda token: str(tokenizer.convert_ids_to_tokens(token)),
    )
    return Decoding(generation=generation, config=config, end_ids=end_ids, stops=stops, grammars=grammars)


def _unwritten(loaded: Loaded, stops: Sequence[str]) -> dict[str, int]:
    """The stop strings that are tokens which texts leave out: no text holds them, so they end a row like an end token.

    tokenizer.json may mark tokens as special that the tokenizer's own list of special tokens lacks.
    """
    tokenizer = loaded.tokenizer
    tokens = {stop: tokenizer.convert_tokens_to_ids(stop) for stop in stops}
    return {
        stop: token
        for stop, token in tokens.items()
        if isinstance(token, int) and tokenizer.convert_ids_to_tokens(token) == stop and not loaded.marks.text([token])
    }


def decode_batch(loaded: Loaded, plan: Decoding, rows: Sequence[TextRow]) -> list[Response]:
    """Generate for all rows at once. Time stamps count from the prompt tensor being ready on the device."""
    ids, mask = _left_padded(rows, loaded)
    lengths = [row.new_tokens for row in rows]
    early = plan.stops or min(lengths) < plan.generation.max_new_tokens
    stop_rows = StopRows(plan.stops, lengths, plan.end_ids) if early else None
    sampler = _sampler(plan.generation, rows, loaded.device)
    loaded.synchronize()
    started_unix_ms = time.time_ns() // 1_000_000
    streamer = StampStreamer()
    matchers = [None if plan.grammars is None else plan.grammars.begin(row.request) for row in rows]
    grammars, newest = plan.grammars, streamer.newest
    masks = ConstraintProcessor(grammars, matchers, lengths, plan.end_ids, newest) if grammars else None
    output = loaded.model.generate(
        input_ids=ids,
        attention_mask=mask,
        generation_config=plan.config,
        streamer=streamer,
        stopping_criteria=StoppingCriteriaList([stop_rows] if stop_rows else []),
        logits_processor=LogitsProcessorList([hook for hook in (masks, sampler) if hook]),
    )
    new = output[:, ids.shape[1] :].tolist()
    steps = len(new[0])
    if len(streamer.stamps_s) != steps:
        raise EngineError(f"this version of transformers streams {len(streamer.stamps_s)} of {steps} steps")
    stopped = stop_rows.stopped_after if stop_rows else [None] * len(rows)
    responses = []
    for row, row_ids, stopped_after, matcher in zip(rows, new, stopped, matchers, strict=True):
        length, ended = _length(row_ids[: row.new_tokens], plan.end_ids, stopped_after)
        answer = Answer(
            row=row,
            ids=row_ids[:length],
            ended=ended,
            times_s=streamer.since_start_s(length),
            batch_size=len(rows),
            started_unix_ms=started_unix_ms,
            failure=failure(matcher),
        )
        responses.append(respond(loaded, plan, answer))
    return responses


def respond(loaded: Loaded, plan: Decoding, answer: Answer) -> Response:
    """The Response of a finished row."""
    if answer.failure is not None:
        return failed(answer.row.request, answer.failure, row=answer.row)
    row, whole = answer.row, loaded.marks.text(answer.ids)
    ended = answer.ended or plan.generation.fixed_length or plan.stops.find(whole) is not None
    text = plan.stops.cut(whole)
    return Response(
        sample_id=row.request.sample_id,
        repeat=row.request.repeat,
        text=text,
        finish_reason="stop" if ended else "length",
        usage=Usage(
            input_tokens=len(row.ids),
            output_tokens=len(answer.ids),
            reasoning_tokens=loaded.marks.thinking_tokens(answer.ids, text, row.prompt_text),
        ),
        timing=Timing(stamps_s=tuple(answer.times_s), done_s=answer.times_s[-1], sent_unix_ms=answer.started_unix_ms),
        batch_size=answer.batch_size,
        prompt_text=row.prompt_text,
    )


def _sampler(generation: Generation, rows: Sequence[TextRow], device: torch.device) -> SeededSampler | None:
    """None = greedy."""
    if generation.temperature <= 0:
        return None
    seeds = [row.request.seed for row in rows]
    return SeededSampler(generation.temperature, generation.top_p, seeds, device)


def _left_padded(rows: Sequence[TextRow], loaded: Loaded) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, both (batch, longest prompt), on the device."""
    width = max(len(row.ids) for row in rows)
    ids = [[loaded.pad_id] * (width - len(row.ids)) + list(row.ids) for row in rows]
    mask = [[0] * (width - len(row.ids)) + [1] * len(row.ids) for row in rows]
    return torch.tensor(ids, device=loaded.device), torch.tensor(mask, device=loaded.device)


def _length(ids: Sequence[int], end_ids: Sequence[int], stopped_after: int | None) -> tuple[int, bool]:
    """Tokens of a row's answer, its end token or completed stop string included, and whether it has one."""
    end = next((position for position, token in enumerate(ids, start=1) if token in end_ids), None)
    own = [length for length in (end, stopped_after) if length is not None]
    return (min(own), True) if own else (len(ids), False)
