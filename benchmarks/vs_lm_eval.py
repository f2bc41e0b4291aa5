"""Speed and agreement of wattrack's transformers engine against lm-eval's hf backend on the same requests.

Nothing is installed here. Create the peer's environment once, with the torch and transformers of this one:

    python3 -m venv PEER
    PEER/bin/pip install "lm-eval[hf]" torch==VERSION transformers==VERSION

    python benchmarks/vs_lm_eval.py --peer-python PEER/bin/python --dtype bf16

A random-weights model of about 30 M parameters and real rows (`--data`, the hub's schema) make the requests: MMLU with
5 fixed shots (subjects astronomy and marketing, all letters), HellaSwag with 10, ARC-Challenge with 25, GSM8K with 8
and 128 new tokens, and GSM8K zero-shot through the chat template with 128. Both tools run as whole processes, in
turn, and who goes first alternates; the ratio of each lap cancels slow drifts of a shared machine. The request phase
starts with the model loaded and ends with all answers; tokenising is part of it on both sides. Before the laps the
peer tries batch sizes on a part of the questions and keeps its fastest (`--peer-batch best`); ours takes the engine's
own choice (`--batch auto`).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import random_model
import workloads
from agreement import Agreement, compare
from transformers import AutoTokenizer
from workloads import Workload

HERE = Path(__file__).resolve().parent
QUESTIONS = {"mmlu": 200, "hellaswag": 60, "arc_challenge": 60, "gsm8k": 64, "gsm8k_chat": 64}
TARGETS = {"mmlu": 8.0, "hellaswag": 15.0, "arc_challenge": 25.0, "gsm8k": 6.0, "gsm8k_chat": 1.5}
"""How many times faster than the peer the request phase shall be."""
PEER_BATCHES = ("16", "8", "32", "64", "auto")
HOPELESS = 3.0
"""A batch size that takes this many times as long as the best so far is given up."""
VERSIONS = (
    "import importlib.metadata as m, platform;"
    "print(platform.python_version(), *(p + '=' + m.version(p) for p in ('torch', 'transformers', {tool!r})))"
)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """How one of the tools is started."""

    python: str
    driver: str
    batch: str
    extra: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Run:
    """One whole process."""

    request_s: float
    process_s: float
    result: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a task's files are, and the precision."""

    folder: Path
    model: Path
    dtype: str


def run(tool: Tool, workload: Workload, setting: Setting, limit_s: float | None = None) -> Run | None:
    """Run one process to its end; None when it takes more than `limit_s` or fails under such a limit."""
    asked, out = setting.folder / "workload.json", setting.folder / "out.json"
    asked.write_text(json.dumps(workload), "utf-8")
    out.unlink(missing_ok=True)
    command = [tool.python, str(HERE / tool.driver), str(asked), str(setting.model), str(out)]
    command += ["--dtype", setting.dtype, "--batch", tool.batch, *tool.extra]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    started_s = time.perf_counter()
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, errors="replace", timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return None
    process_s = time.perf_counter() - started_s
    if done.returncode != 0 or not out.is_file():
        if limit_s is not None:
            return None
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr[-4000:]}")
    result = json.loads(out.read_text("utf-8"))
    return Run(request_s=result["request_s"], process_s=process_s, result=result)


def fastest_batch(peer: Tool, workload: Workload, setting: Setting) -> str:
    """The peer's best batch size, on a part of the questions (choices) or all of them (generation)."""
    part = workload
    if workload["kind"] == "choice":
        part = {**workload, "items": workload["items"][: max(16, len(workload["items"]) // 4)]}
    tried: dict[str, float] = {}
    limit_s: float | None = None
    for batch in PEER_BATCHES:
        found = run(replace(peer, batch=batch), part, setting, limit_s)
        if found is not None:
            tried[batch] = found.request_s
            limit_s = HOPELESS * min(found.process_s, limit_s / HOPELESS if limit_s else found.process_s)
        print(f"  peer batch {batch:>4}: {f'{found.request_s:.2f} s' if found else 'given up'}", flush=True)
    return min(tried, key=lambda batch: tried[batch])


def compare_tools(ours: Tool, peer: Tool, workload: Workload, setting: Setting, laps: int) -> list[tuple[Run, Run]]:
    """(ours, peer) of every lap; who goes first alternates."""
    pairs = []
    for lap in range(laps):
        order = (peer, ours) if lap % 2 else (ours, peer)
        first, second = (run(tool, workload, setting) for tool in order)
        assert first is not None and second is not None
        mine, theirs = (second, first) if lap % 2 else (first, second)
        if mine.result["threads"] != theirs.result["threads"]:
            sys.exit(f"threads differ: ours {mine.result['threads']}, peer {theirs.result['threads']}")
        pairs.append((mine, theirs))
        print(
            f"  lap {lap}: ours {mine.request_s:.2f} s of {mine.process_s:.2f}, "
            f"peer {theirs.request_s:.2f} s of {theirs.process_s:.2f}, "
            f"ratio {theirs.request_s / mine.request_s:.2f}",
            flush=True,
        )
    return pairs


def spread(ratios: Sequence[float]) -> str:
    """Median, least and greatest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def row(name: str, dtype: str, pairs: Sequence[tuple[Run, Run]], agreement: Agreement, target: float | None) -> str:
    """One line of the table."""
    ratios = [theirs.request_s / mine.request_s for mine, theirs in pairs]
    whole = [theirs.process_s / mine.process_s for mine, theirs in pairs]
    ours_s = statistics.median(mine.request_s for mine, _ in pairs)
    peer_s = statistics.median(theirs.request_s for _, theirs in pairs)
    verdict = "-" if target is None else "met" if statistics.median(ratios) >= target else "NOT met"
    return (
        f"{name:20} {dtype:5} {ours_s:7.2f} {peer_s:7.2f} {spread(ratios):>20} {spread(whole):>18} "
        f"{agreement.short():>17} {'' if target is None else f'{target:g}x':>6} {verdict}"
    )


HEADER = (
    f"{'task':20} {'dtype':5} {'ours s':>7} {'peer s':>7} {'request ratio':>20} {'process ratio':>18} "
    f"{'same answers':>17} {'target':>6}"
)


def measure(name: str, options: argparse.Namespace, setting: Setting) -> list[str]:
    """All lines of one task: ours against the peer, and the naive mode against the peer when asked for."""
    tokenizer = AutoTokenizer.from_pretrained(setting.model)
    if tokenizer("x").input_ids != tokenizer("x", add_special_tokens=False).input_ids:
        sys.exit("the tokenizer adds special tokens: chat texts would get them twice")
    workload = workloads.workload(name, options.data, options.questions or QUESTIONS[name], tokenizer)
    peer = Tool(
        python=str(options.peer_python),
        driver="run_lm_eval.py",
        batch=options.peer_batch,
        extra=("--softmax", options.peer_softmax),
    )
    print(f"{name} {setting.dtype}: {len(workload['items'])} questions", flush=True)
    if peer.batch == "best":
        peer = replace(peer, batch=fastest_batch(peer, workload, setting))
    lines = []
    for mode in ("shared", "naive") if options.naive else ("shared",):
        ours = Tool(python=sys.executable, driver="run_wattrack.py", batch=options.batch, extra=("--mode", mode))
        pairs = compare_tools(ours, peer, workload, setting, options.laps)
        agreement = compare(workload, pairs[0][0].result["answers"], pairs[0][1].result["answers"])
        label, target = (name, TARGETS[name]) if mode == "shared" else (f"{name} naive", None)
        lines.append(row(label, setting.dtype, pairs, agreement, target))
        lines.append(f"    {agreement.long()}; {circumstances(pairs[0][0].result, peer)}")
    return lines


def circumstances(ours: dict[str, Any], peer: Tool) -> str:
    """What else decides the numbers: batches, the work shared, and whether our mode fell back to another."""
    share = ours["computed_tokens"] / ours["asked_tokens"]
    fallbacks = "" if ours["fallbacks"] == "none" else f"; FALLBACKS: {ours['fallbacks']}"
    return (
        f"batches: ours {ours['batch']}, peer {peer.batch}; ours, mode {ours['mode']}, computed {share:.1%} of "
        f"the tokens that it would without sharing{fallbacks}"
    )


def versions(python: str, tool: str) -> str:
    """Python and the packages that matter, in that environment."""
    done = subprocess.run([python, "-c", VERSIONS.format(tool=tool)], capture_output=True, text=True, check=False)
    return done.stdout.strip() or sys.exit(f"{python}: {done.stderr.strip()}")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", type=Path, required=True, help="the interpreter that has lm-eval")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--tasks", nargs="+", choices=tuple(QUESTIONS), default=list(QUESTIONS))
    parser.add_argument("--dtype", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--questions", type=int, help="for every task; default: " + str(QUESTIONS))
    parser.add_argument("--laps", type=int, default=3)
    parser.add_argument("--batch", default="auto", help="ours: a number, or auto")
    parser.add_argument("--peer-batch", default="best", help="best, auto or a number")
    parser.add_argument("--peer-softmax", choices=("default", "fp32"), default="default")
    parser.add_argument("--naive", action="store_true", help="also our naive mode against the peer")
    return parser.parse_args()


def main() -> None:
    """Measure and print one table."""
    options = parse()
    if not options.data.is_dir():
        sys.exit(f"--data {options.data}: no such folder")
    print(f"ours: Python {versions(sys.executable, 'wattrack')}")
    print(f"peer: Python {versions(str(options.peer_python), 'lm_eval')}")
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = random_model.build(folder / "model", options.data)
        print(f"model: {parameters / 1e6:.1f} M random parameters")
        for dtype in options.dtype:
            setting = Setting(folder=folder, model=folder / "model", dtype=dtype)
            for task in options.tasks:
                lines += (found := measure(task, options, setting))
                print("\n".join(found), flush=True)
    print(f"\n{options.laps} laps; ratios are peer / ours: median (least-greatest)")
    print("same answers: by summed log-probability / per character, or equal texts\n")
    print(HEADER)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
