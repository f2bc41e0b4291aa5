"""Which path should be the default on CUDA: one process for every variant, random weights in the shapes of Qwen2.5.

    python benchmarks/gpu/decide.py [--variants shared flash graph naive]      # about 6 minutes; these alone about 4
    python benchmarks/gpu/decide.py --emulate                                  # a CPU: every index, on a tiny shape

Nothing of this has run on a GPU yet. On a CPU, `--emulate` compares tokens with mode shared; what it cannot try is the
signature of the flash kernels, the capture of graphs, and buckets with more rows than are in use.

    naive     generate(), dynamic cache, sdpa, left padded        static   the same, static cache, compiled
    shared    mode shared as it is                                grouped  without copying keys per query head
    flash     torch's own FlashAttention with log-sum-exps: own tokens by row lengths, the prefix dense
    graph     flash, the decode step captured as a CUDA graph for each bucket of rows (its capture is part of the run)
    cb        transformers' generate_batch, as the installed packages allow

    step_ms       median time of a step                  tokens_per_s  of whole runs, prompts included
    issue_ms      host time to hand a step over          roofline      reading weights and cache once, over the step
    gpu_ms        the step on the device, by events      j_per_token   by the NVML counter, per output token
    gap           most logits by which a generated token lies below a plain pass's favourite: the correctness check
    reserved_gib  most that torch's allocator reserved   same          share of tokens equal to shared's (random weights
                                                                       tie often in bf16)

How to read it: graphs become the default if `gap` is under 0.5, tokens/s at 64 rows are at least 1.5 times the better
of shared and naive, and the step of one row takes at most 0.6 times the better of theirs. If flash fails on the
installed signature, grouped could be captured instead. If `issue_ms` is under `gpu_ms` for shared, graphs hide nothing.
With `--emulate` the exit status is 1 if a variant fails, its tokens are not shared's, or its gap is not under 0.001.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from variants import VARIANTS
from worker import SHAPES, Task, measure

CAP_S, EMULATED_CAP_S = 110, 1200
MOST_GAP, MOST_EMULATED_GAP = 0.5, 0.001
LEAST_SPEEDUP, MOST_STEP = 1.5, 0.6
ONE, MANY = 1, 64
REFERENCE = "shared"
PLAN: Mapping[str, Mapping[str, Sequence[int]]] = {
    "7b": {
        "shared": (1, 64, 256),
        "flash": (1, 64, 256),
        "graph": (1, 64, 256),
        "naive": (1, 64, 256),
        "grouped": (64,),
        "static": (64,),
        "cb": (64,),
    },
    "0.5b": {"shared": (1, 64), "graph": (1, 64), "naive": (1, 64)},
}
"""Rows at once by shape and variant, what decides first."""
EMULATED: Mapping[str, Mapping[str, Sequence[int]]] = {
    "tiny": dict.fromkeys((REFERENCE, "naive", "grouped", "flash", "graph"), (1, 3, 8))
}

Lines = dict[tuple[str, int], dict[str, Any]]
"""Values by variant and rows, tokens (`ids`) and their agreement (`same`) among them."""


def run_variant(options: argparse.Namespace, shape: str, variant: str, rows: Sequence[int]) -> dict[str, Any] | None:
    """What the variant's process found; a failure is one line and None."""
    command = [sys.executable, __file__, "--worker", variant, "--shape", shape, "--rows", *map(str, rows)]
    for name in ("prefix", "own", "new", "seconds"):
        command += [f"--{name}", str(getattr(options, name))]
    cap_s = EMULATED_CAP_S if options.emulate else CAP_S
    try:
        done = subprocess.run(
            command + ["--emulate"] * options.emulate, capture_output=True, text=True, timeout=cap_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        print(f"{shape} {variant}: over {cap_s} s: {_last(error.stderr)}", flush=True)
        return None
    if done.returncode:
        print(f"{shape} {variant}: failed: {_last(done.stderr) or done.returncode}", flush=True)
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _last(output: str | bytes | None) -> str:
    """The last line; a process that ran out of time leaves bytes."""
    text = output.decode(errors="replace") if isinstance(output, bytes) else output or ""
    return text.strip().rpartition("\n")[2][:300]


def agreement(ids: Mapping[str, Sequence[int]], base: Mapping[str, Sequence[int]]) -> float:
    """The share of tokens that stand at the same place in `base`."""
    equal = sum(a == b for name, own in ids.items() for a, b in zip(own, base.get(name, ()), strict=False))
    return equal / sum(map(len, ids.values()))


def run_shape(options: argparse.Namespace, shape: str, plan: Mapping[str, Sequence[int]]) -> Lines:
    """Run and print the wanted variants of one shape."""
    lines: Lines = {}
    for variant in (name for name in plan if name in options.variants):
        started_s = time.perf_counter()
        found = run_variant(options, shape, variant, options.rows or plan[variant])
        if found is None:
            continue
        for line in found["lines"]:
            rows = line["rows"]
            lines[variant, rows] = line
            base = lines.get((REFERENCE, rows))
            line["same"] = None if base is None else round(agreement(line["ids"], base["ids"]), 3)
            values = (f"{name}={value}" for name, value in line.items() if name != "ids")
            print(f"{shape:5} {variant:8}", *values, flush=True)
        took_s = time.perf_counter() - started_s
        print(
            f"      {variant}: {found['attention']}, copy {found['bandwidth_gb_s']:.0f} GB/s, {took_s:.0f} s",
            flush=True,
        )
    return lines


def verdict(lines: Lines) -> str | None:
    """The reading of the module's docstring; None where a line is missing that it needs."""
    needed = [(variant, rows) for variant in ("graph", "shared", "naive") for rows in (ONE, MANY)]
    if any(one not in lines for one in needed):
        return None
    gap = max(line["gap"] for (variant, _), line in lines.items() if variant == "graph")
    fastest = max(lines[variant, MANY]["tokens_per_s"] for variant in ("shared", "naive"))
    speedup = lines["graph", MANY]["tokens_per_s"] / fastest
    shortest = min(lines[variant, ONE]["step_ms"] for variant in ("shared", "naive"))
    step = lines["graph", ONE]["step_ms"] / shortest
    adopt = gap < MOST_GAP and speedup >= LEAST_SPEEDUP and step <= MOST_STEP
    return (
        f"{'adopt graphs' if adopt else 'keep graphs out'}: gap {gap} (under {MOST_GAP}), tokens/s at {MANY} rows "
        f"{speedup:.2f} times (at least {LEAST_SPEEDUP}), the step of one row {step:.2f} times (at most {MOST_STEP})"
    )


def complaints(options: argparse.Namespace, lines: Lines) -> Iterator[str]:
    """What an emulation found wrong."""
    for variant, planned in EMULATED["tiny"].items():
        for rows in (options.rows or planned) if variant in options.variants else ():
            line = lines.get((variant, rows))
            if line is None or line["same"] is None:
                yield f"{variant}, {rows} rows: nothing to compare"
            elif line["same"] != 1.0 or not line["gap"] < MOST_EMULATED_GAP:
                yield f"{variant}, {rows} rows: same={line['same']}, gap={line['gap']}"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulate", action="store_true", help="a tiny shape on the CPU, always with shared")
    parser.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--rows", type=int, nargs="+", help="rows at once, instead of each variant's own")
    parser.add_argument("--prefix", type=int, default=1000, help="tokens of the common beginning")
    parser.add_argument("--own", type=int, default=100, help="least tokens of a row's own; below three times that")
    parser.add_argument("--new", type=int, default=128, help="output tokens of every row")
    parser.add_argument("--seconds", type=float, default=3.0, help="least time of each line's measured runs")
    parser.add_argument("--worker", choices=tuple(VARIANTS), help=argparse.SUPPRESS)
    parser.add_argument("--shape", choices=tuple(SHAPES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.emulate:
        options.prefix, options.own, options.new, options.seconds = min(options.prefix, 37), 5, 12, 0.1
        options.variants = [REFERENCE, *options.variants]
    return options


def work(options: argparse.Namespace) -> None:
    """One variant, in a process of its own."""
    if options.emulate:
        torch.set_num_threads(1)  # threads that wait for one another take longer than tensors of this size
    measure(
        Task(
            variant=options.worker,
            shape=options.shape,
            rows=tuple(options.rows),
            prefix=options.prefix,
            own=options.own,
            new=options.new,
            seconds=options.seconds,
            emulate=options.emulate,
        )
    )


def main() -> None:
    """Start one process for every variant; a worker prints its lines as JSON."""
    options = parse()
    if options.worker:
        work(options)
        return
    if options.emulate:
        wrong = list(complaints(options, run_shape(options, "tiny", EMULATED["tiny"])))
        print("emulation:", "; ".join(wrong) or "tokens are those of shared")
        sys.exit(bool(wrong))
    if not torch.cuda.is_available():
        sys.exit("no CUDA device: --emulate checks every index on a CPU")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    verdicts = {shape: verdict(run_shape(options, shape, plan)) for shape, plan in PLAN.items()}
    for shape, found in verdicts.items():
        print(f"{shape}: {found or 'no verdict: it needs shared, naive and graph at 1 and 64 rows'}")


if __name__ == "__main__":
    main()
