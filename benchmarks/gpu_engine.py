"""Generation speed and memory on a GPU: wattrack's naive and shared modes, and transformers' generate_batch.

Random weights in the shapes of Qwen2.5, bf16 (they take the same time and memory as trained ones). The requests share
one beginning, as few-shot questions do, and then differ in length. Every line is a process of its own:

    tokens/s   output tokens of all requests over wall time, prompts included (generate_batch: its start-up included)
    TTFT       seconds to the first token of one request alone, median of a few
    step       median time between two tokens of a row; rows: how many decoded together with it
    roofline   time to read weights and cache once at the bandwidth of a large copy (measured), over the step; the cache
               counts whole for every row, so a mode that reads what is shared only once can pass 100 %
    predicted  weights + cache + logits of the rows in flight, nothing shared; `peak` is the most that torch's allocator
               reserved after the warm-up
    cache      what generate_batch is configured with: its memory is a setting and not a property of the model

    python benchmarks/gpu_engine.py [--shapes 0.5b 7b 14b] [--batch 128]      # needs a CUDA device
    python benchmarks/gpu_engine.py --tiny                                    # every code path, on a CPU
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from random_model import build_tokenizer
from transformers import AutoConfig, AutoTokenizer, ContinuousBatchingConfig, GenerationConfig, Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM as _AutoModel

from wattrack.engines.hf import HFEngine
from wattrack.engines.weights.random_weights import build
from wattrack.schema import Generation, Request

GIB = 2**30
AutoModelForCausalLM: Any = _AutoModel
GeneratingConfig: Any = GenerationConfig
MODES = ("naive", "shared", "generate_batch")
PAGE = 256
PROBES = 5
COLUMNS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size")
SHAPES: dict[str, tuple[tuple[int, ...], int, bool]] = {
    "tiny": ((64, 2, 4, 2, 128), 1024, True),
    "0.5b": ((896, 24, 14, 2, 4864), 151936, True),
    "7b": ((3584, 28, 28, 4, 18944), 152064, False),
    "14b": ((5120, 48, 40, 8, 13824), 152064, False),
}
"""Values of COLUMNS, vocabulary, whether input and output embeddings are one."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked; lengths in words of the synthetic text, about one token each."""

    requests: int
    shared: int
    own: int
    new_tokens: int
    batch: int


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One request: seconds of every output token on one clock."""

    times_s: tuple[float, ...]
    input_tokens: int
    rows: int
    """Rows that decoded together with this one."""


def config_of(shape: str) -> Qwen2Config:
    """The architecture, without early ends: every answer has the same length."""
    values, vocabulary, tied = SHAPES[shape]
    settings: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
    return Qwen2Config(
        **settings,
        vocab_size=vocabulary,
        tie_word_embeddings=tied,
        max_position_embeddings=32768,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )


def texts(load: Load) -> list[str]:
    """One shared beginning, then words of each request's own."""
    draw = random.Random(0)
    words = [f"w{number:03d}" for number in range(500)]
    head = " ".join(draw.choices(words, k=load.shared))
    return [
        f"{head} {' '.join(draw.choices(words, k=draw.randint(load.own, 3 * load.own)))}" for _ in range(load.requests)
    ]


def write_architecture(shape: str, folder: Path) -> None:
    """The configuration, and a tokenizer that knows the words of `texts`; weights are made where they are needed."""
    config_of(shape).save_pretrained(folder)
    tokenizer = build_tokenizer(texts(Load(requests=8, shared=2000, own=500, new_tokens=0, batch=0)), 1000)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)


def by_engine(folder: Path, device: str, mode: str, load: Load) -> tuple[list[Timing], float, list[float]]:
    """(timings, seconds of the batched phase, times to first token alone) of wattrack's engine."""
    engine = HFEngine(
        model_id=str(folder), weights="random", dtype="bf16", device=device, mode=mode, batch_size=load.batch
    )
    engine.load()
    settings = Generation(max_new_tokens=load.new_tokens)
    requests = [
        Request(sample_id=str(number), repeat=0, prompt=text, generation=settings, seed=0)
        for number, text in enumerate(texts(load))
    ]
    list(engine.generate(requests[: load.batch]))  # warms kernels and the allocator
    alone = [next(iter(engine.generate([request]))).timing.stamps_s[0] for request in requests[:PROBES]]
    reset_peak(device)
    engine.synchronize()
    started_s = time.perf_counter()
    responses = list(engine.generate(requests))
    engine.synchronize()
    wall_s = time.perf_counter() - started_s
    if failures := [response.error for response in responses if response.error]:
        sys.exit(f"{mode}: {failures[0]}")
    print(f"  {mode}: {engine.facts().fallbacks}", file=sys.stderr)
    return (
        [Timing(times_s=r.timing.stamps_s, input_tokens=r.usage.input_tokens, rows=r.batch_size) for r in responses],
        wall_s,
        alone,
    )


def by_generate_batch(folder: Path, device: str, load: Load) -> tuple[list[Timing], float, list[float]]:
    """The same of transformers' continuous batching, with a cache that holds `load.batch` rows at once."""
    config = AutoConfig.from_pretrained(folder)
    model = build(config, dtype=torch.bfloat16, device=torch.device(device), attention="sdpa", seed=0).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer(text).input_ids for text in texts(load)]
    settings = GeneratingConfig(max_new_tokens=load.new_tokens, do_sample=False, eos_token_id=-1, pad_token_id=0)
    cache = ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=blocks(load, max(map(len, ids))),
        max_batch_tokens=8192 if device == "cuda" else 1024,
        max_requests_per_batch=load.batch,
    )

    def run(inputs: list[list[int]]) -> list[Any]:
        results = model.generate_batch(
            inputs, generation_config=settings, continuous_batching_config=cache, record_timestamps=True
        )
        outputs = list(results.values())
        if len(outputs) != len(inputs) or any(output.error for output in outputs):
            sys.exit(f"generate_batch: {len(outputs)} of {len(inputs)} finished: {[o.error for o in outputs][:3]}")
        return outputs

    run(ids[: load.batch])
    first = [output for probe in ids[:PROBES] for output in run([probe])]
    alone = [output.timestamps[0] - output.created_time for output in first]
    reset_peak(device)
    started_s = time.perf_counter()
    outputs = run(ids)
    wall_s = time.perf_counter() - started_s
    stamps = [tuple(output.timestamps) for output in outputs]
    timings = [
        Timing(times_s=own, input_tokens=len(output.prompt_ids), rows=beside(own, stamps))
        for own, output in zip(stamps, outputs, strict=True)
    ]
    return timings, wall_s, alone


def beside(own: Sequence[float], stamps: Sequence[Sequence[float]]) -> int:
    """Rows that were decoding when this one was half done."""
    middle = own[len(own) // 2]
    return sum(other[0] <= middle <= other[-1] for other in stamps)


def blocks(load: Load, longest: int) -> int:
    """Pages that hold `load.batch` rows of the longest prompt."""
    return load.batch * (-(-(longest + load.new_tokens) // PAGE) + 1)


def reset_peak(device: str) -> None:
    """Start a new memory peak."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def copy_bytes_per_s(device: str) -> float:
    """Memory bandwidth of a large copy, reads and writes counted: the best of a few."""
    size = 2 * GIB if device == "cuda" else GIB // 16
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target, seconds = torch.empty_like(source), []
    for _ in range(6):
        started_s = time.perf_counter()
        target.copy_(source)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started_s)
    return 2 * size / min(seconds)


def sizes(shape: str) -> tuple[int, int]:
    """(bytes of all weights, bytes of keys and values per token), bf16."""
    hidden, layers, heads, key_heads, _ = SHAPES[shape][0]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config_of(shape))
    return 2 * sum(parameter.numel() for parameter in model.parameters()), 2 * 2 * layers * key_heads * hidden // heads


def measure(shape: str, mode: str, folder: Path, device: str, load: Load) -> dict[str, Any]:
    """One line of the table, in a process of its own."""
    bandwidth = copy_bytes_per_s(device)
    if device == "cuda":
        torch.cuda.empty_cache()
    if mode == "generate_batch":
        timings, wall_s, alone = by_generate_batch(folder, device, load)
    else:
        timings, wall_s, alone = by_engine(folder, device, mode, load)
    tokens = sum(len(timing.times_s) for timing in timings)
    steps = [b - a for timing in timings for a, b in zip(timing.times_s, timing.times_s[1:], strict=False)]
    step_s = statistics.median(step for step in steps if step > 0)
    rows = statistics.median(timing.rows for timing in timings)
    context = statistics.mean(timing.input_tokens for timing in timings) + load.new_tokens / 2
    weights, per_token = sizes(shape)
    tied, vocabulary, hidden = SHAPES[shape][2], SHAPES[shape][1], SHAPES[shape][0][0]
    read = weights - (0 if tied else 2 * vocabulary * hidden) + rows * context * per_token
    longest = max(timing.input_tokens for timing in timings) + load.new_tokens
    in_flight = min(load.batch, load.requests)
    predicted = weights + in_flight * (longest * per_token + 6 * vocabulary)
    return {
        "tokens_per_s": tokens / wall_s,
        "ttft_s": statistics.median(alone),
        "step_s": step_s,
        "rows": rows,
        "roofline": read / bandwidth / step_s,
        "bandwidth_gb_s": bandwidth / 1e9,
        "predicted_gib": predicted / GIB,
        "peak_gib": torch.cuda.max_memory_reserved() / GIB if device == "cuda" else None,
        "cache_gib": blocks(load, longest - load.new_tokens) * PAGE * per_token / GIB
        if mode == "generate_batch"
        else None,
    }


HEADER = (
    f"{'shape':6} {'mode':15} {'tokens/s':>9} {'TTFT ms':>8} {'step ms':>8} {'rows':>6} {'roofline':>8} "
    f"{'predicted':>10} {'peak GiB':>9} {'cache GiB':>9}"
)


def line(shape: str, mode: str, found: dict[str, Any]) -> str:
    """One line of the table."""
    peak, cache = (f"{found[key]:.2f}" if found[key] is not None else "-" for key in ("peak_gib", "cache_gib"))
    return (
        f"{shape:6} {mode:15} {found['tokens_per_s']:9.0f} {1000 * found['ttft_s']:8.1f} {1000 * found['step_s']:8.2f} "
        f"{found['rows']:6.0f} {found['roofline']:8.1%} {found['predicted_gib']:10.2f} {peak:>9} {cache:>9}"
    )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=tuple(SHAPES), default=["0.5b", "7b", "14b"])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--requests", type=int, default=256)
    parser.add_argument("--shared", type=int, default=1024, help="words of the common beginning")
    parser.add_argument("--own", type=int, default=64, help="least words of a request's own; at most three times that")
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=128, help="rows at once, for every mode")
    parser.add_argument("--tiny", action="store_true", help="a tiny shape and few requests, on the CPU")
    parser.add_argument("--worker", nargs=2, metavar=("MODE", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.tiny:
        options.shapes, options.requests, options.shared = ["tiny"], 12, 300
        options.own, options.new_tokens, options.batch = 16, 16, 4
    return options


def main(arguments: Sequence[str]) -> None:
    """Start one process for every line; a worker prints its line's values as JSON."""
    options = parse()
    device = "cpu" if options.tiny else "cuda"
    load = Load(
        requests=options.requests,
        shared=options.shared,
        own=options.own,
        new_tokens=options.new_tokens,
        batch=options.batch,
    )
    if options.worker:
        mode, folder = options.worker
        print(json.dumps(measure(options.shapes[0], mode, Path(folder), device, load)))
        return
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device: --tiny runs every code path on a CPU")
    print(f"{torch.cuda.get_device_name() if device == 'cuda' else 'CPU'}, torch {torch.__version__}; {asdict(load)}")
    print(HEADER, flush=True)
    for shape in options.shapes:
        with tempfile.TemporaryDirectory() as folder:
            write_architecture(shape, Path(folder))
            for mode in options.modes:
                work = ["--shapes", shape, "--worker", mode, folder]
                done = subprocess.run(
                    [sys.executable, __file__, *arguments, *work], stdout=subprocess.PIPE, check=False
                )
                last = done.stdout.decode().strip().rpartition("\n")[2]
                print(
                    line(shape, mode, json.loads(last)) if done.returncode == 0 else f"{shape} {mode}: failed",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:])
