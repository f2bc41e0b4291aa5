"""One variant in a process of its own: its model, its rows, and the values of its lines."""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from batches import Times
from transformers import GenerationConfig, Qwen2Config
from variants import VARIANTS, Answers, Work

from wattrack.engines.rows import TextRow
from wattrack.engines.weights.random_weights import build
from wattrack.schema import Generation, Request

GIB = 2**30
COLUMNS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size")
SHAPES: dict[str, tuple[tuple[int, ...], int, bool]] = {
    "tiny": ((64, 2, 4, 2, 128), 512, False),
    "0.5b": ((896, 24, 14, 2, 4864), 151936, True),
    "7b": ((3584, 28, 28, 4, 18944), 152064, False),
}
"""Values of COLUMNS, vocabulary, whether input and output embeddings are one."""
LOUD = 10.0
"""Emulation's factor on the random matrices: as they are, every row repeats its last token, whatever it attends to."""
CHECKED_ROWS = 4
SENT_ROWS, SENT_TOKENS = 16, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one process measures."""

    variant: str
    shape: str
    rows: tuple[int, ...]
    prefix: int
    own: int
    """Least tokens of a row's own prompt; below three times as many."""
    new: int
    seconds: float
    """Least time of the measured runs of each line."""
    emulate: bool

    @property
    def device(self) -> torch.device:
        """Emulation is for a CPU."""
        return torch.device("cpu" if self.emulate else "cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table; None = not measured."""

    rows: int
    step_ms: float | None
    issue_ms: float | None
    gpu_ms: float | None
    tokens_per_s: int
    roofline: float
    j_per_token: float | None
    gap: float
    reserved_gib: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """The measured runs of one line."""

    times: Times
    seconds: float
    tokens: int
    energy_j: float | None
    answers: Answers


def measure(task: Task) -> None:
    """Print each line as JSON to stderr, and at the end all of them with some of their tokens to stdout."""
    bandwidth = copy_bytes_per_s(task.device)
    model = model_of(task)
    generate, prepare = VARIANTS[task.variant]
    prepare()
    found = []
    for count in task.rows:
        work = Work(model=model, rows=rows_of(task, count), prefix=task.prefix, new=task.new)
        runs = repeat(work, generate, task)
        line = asdict(line_of(work, runs, bandwidth))
        sent = dict(list(runs.answers.items())[:SENT_ROWS])
        found.append(line | {"ids": {name: [int(token) for token in ids[:SENT_TOKENS]] for name, ids in sent.items()}})
        print(json.dumps(line), file=sys.stderr, flush=True)
    attention = str(model.config._attn_implementation)
    print(json.dumps({"bandwidth_gb_s": bandwidth / 1e9, "attention": attention, "lines": found}))


def model_of(task: Task) -> Any:
    """Random weights in the task's shape, without early ends: every answer has the same length."""
    values, vocabulary, tied = SHAPES[task.shape]
    settings: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
    config = Qwen2Config(
        **settings,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        max_position_embeddings=32768,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    dtype = torch.float32 if task.emulate else torch.bfloat16
    model = build(config, dtype=dtype, device=task.device, attention="sdpa", seed=0).eval()
    generating: Any = GenerationConfig
    model.generation_config = generating()
    if task.emulate:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(LOUD if parameter.dim() > 1 else 1.0)
    return model


def rows_of(task: Task, count: int) -> list[TextRow]:
    """Random prompts with one beginning, longest first."""
    draw = torch.Generator().manual_seed(0)
    vocabulary = SHAPES[task.shape][1]

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, vocabulary, (length,), generator=draw).tolist())

    head, settings, rows = ids(task.prefix), Generation(max_new_tokens=task.new), []
    for number in range(count):
        own = int(torch.randint(task.own, 3 * task.own, (1,), generator=draw))
        request = Request(sample_id=str(number), repeat=0, prompt="", generation=settings, seed=0)
        rows.append(TextRow(request=request, ids=head + ids(own), prompt_text=""))
    return sorted(rows, key=lambda row: -len(row.ids))


def repeat(work: Work, generate: Any, task: Task) -> Runs:
    """One run to warm up, then runs until the time is over."""
    generate(work, Times())
    if work.on_gpu:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    times, tokens = Times(), 0
    answers: Answers = {}
    before_j, started_s = joules(work), time.perf_counter()
    while not answers or time.perf_counter() - started_s < task.seconds:
        answers = generate(work, times)
        tokens += len(work.rows) * work.new
        if work.on_gpu:
            torch.cuda.synchronize()
    seconds, after_j = time.perf_counter() - started_s, joules(work)
    energy_j = None if before_j is None or after_j is None else after_j - before_j
    return Runs(times=times, seconds=seconds, tokens=tokens, energy_j=energy_j, answers=answers)


def line_of(work: Work, runs: Runs, bandwidth: float) -> Line:
    """What the runs say; the roofline is the time to read weights and cache once, over the median step."""
    config, count = work.model.config, len(work.rows)
    width = next(work.model.parameters()).element_size()
    dim = config.hidden_size // config.num_attention_heads
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * dim * width
    weights = sum(parameter.numel() for parameter in work.model.parameters()) * width
    if not config.tie_word_embeddings:
        weights -= config.vocab_size * config.hidden_size * width
    context = statistics.mean(len(row.ids) for row in work.rows) - work.prefix + work.new / 2
    read = weights + (count * context + work.prefix) * per_token
    return Line(
        rows=count,
        step_ms=_median_ms(runs.times.walls_s),
        issue_ms=_median_ms(runs.times.issues_s),
        gpu_ms=_median_ms(runs.times.gpus_s),
        tokens_per_s=round(runs.tokens / runs.seconds),
        roofline=round(read / bandwidth / statistics.median(runs.times.walls_s), 3),
        j_per_token=None if runs.energy_j is None else round(runs.energy_j / runs.tokens, 4),
        gap=round(gap_of(work, runs.answers), 4),
        reserved_gib=round(torch.cuda.max_memory_reserved() / GIB, 1) if work.on_gpu else None,
    )


def gap_of(work: Work, answers: Answers) -> float:
    """Most logits by which a generated token lies below a plain pass's favourite; a wrong mask gives whole units."""
    gap = 0.0
    for row in work.rows[:CHECKED_ROWS]:
        prompt = len(row.ids)
        ids = [*row.ids, *map(int, answers[row.request.sample_id])][: prompt + work.new]
        with torch.inference_mode():
            output = work.model(torch.tensor([ids[:-1]], device=work.model.device), use_cache=False)
        logits = output.logits[0, prompt - 1 :].float()
        new = torch.tensor(ids[prompt:], device=work.model.device)
        below = logits.max(-1).values - logits.gather(1, new[:, None])[:, 0]
        gap = max(gap, float(below.max()))
    return gap


def joules(work: Work) -> float | None:
    """The NVML energy counter of the first GPU."""
    if not work.on_gpu:
        return None
    import pynvml

    try:
        pynvml.nvmlInit()
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0)) / 1e3)
    except pynvml.NVMLError:
        return None


def copy_bytes_per_s(device: torch.device) -> float:
    """Memory bandwidth of a large copy, reads and writes counted; a round number for a CPU, where none is judged."""
    if device.type == "cpu":
        return 1e10
    source = torch.empty(2 * GIB, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize()
    started_s = time.perf_counter()
    for _ in range(10):
        target.copy_(source)
    torch.cuda.synchronize()
    bandwidth = 20 * source.numel() / (time.perf_counter() - started_s)
    del source, target
    torch.cuda.empty_cache()
    return bandwidth


def _median_ms(seconds: Sequence[float]) -> float | None:
    return round(1e3 * statistics.median(seconds), 2) if seconds else None
