"""How time and memory of wattrack's shared engine grow with the number of questions and with the batch size.

Expected: time per question falls or stays equal (what is shared is paid once), memory stays flat. Every measurement is
a process of its own, on the random-weights model and the real rows of vs_lm_eval.py; memory is what the request phase
added to the resident memory of the loaded model. The naive mode at 1x stands beside it for reference.

    python benchmarks/engine_scaling.py [--questions 16] [--dtype fp32] [--laps 3]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import random_model
import workloads
from transformers import AutoTokenizer

HERE = Path(__file__).resolve().parent
FACTORS = (1, 4, 16)
BATCHES = (8, 32, 128)
MIDDLE_BATCH, MIDDLE_FACTOR = 32, 4
TASKS = ("arc_challenge", "gsm8k")
"""One of log-likelihoods, one of generation."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line of the table."""

    task: str
    mode: str
    factor: int
    batch: int


def cases(tasks: list[str], factors: list[int]) -> Iterator[Case]:
    """Growing question counts, then batch sizes at a middle count, then naive; each case once."""
    for task in tasks:
        for factor in factors:
            yield Case(task=task, mode="shared", factor=factor, batch=MIDDLE_BATCH)
        for batch in BATCHES:
            if batch != MIDDLE_BATCH or MIDDLE_FACTOR not in factors:
                yield Case(task=task, mode="shared", factor=MIDDLE_FACTOR, batch=batch)
        yield Case(task=task, mode="naive", factor=1, batch=MIDDLE_BATCH)


def run(case: Case, workload: dict[str, Any], folder: Path, dtype: str) -> dict[str, Any]:
    """One process, to its end."""
    asked, out = folder / "workload.json", folder / "out.json"
    asked.write_text(json.dumps(workload), "utf-8")
    out.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "run_wattrack.py"), str(asked), str(folder / "model"), str(out)]
    command += ["--dtype", dtype, "--batch", str(case.batch), "--mode", case.mode]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr[-4000:]}")
    result: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return result


def line(case: Case, results: list[dict[str, Any]]) -> str:
    """Medians over the laps; tokens computed are those of the model's forward passes, padding excluded."""
    questions = len(results[0]["answers"])
    seconds = statistics.median(result["request_s"] for result in results)
    memory = [result["added_mib"] for result in results if result["added_mib"] is not None]
    added = f"{statistics.median(memory):.0f}" if memory else "-"
    tokens = results[0]["computed_tokens"]
    return (
        f"{case.task:14} {case.mode:7} {case.batch:5} {questions:9} {seconds:8.2f} {1000 * seconds / questions:11.1f} "
        f"{tokens:9} {added:>10}  {results[0]['fallbacks']}"
    )


HEADER = (
    f"{'task':14} {'mode':7} {'batch':>5} {'questions':>9} {'seconds':>8} {'ms/question':>11} "
    f"{'computed':>9} {'added MiB':>10}  fallbacks"
)


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--questions", type=int, default=16, help="of the 1x case")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--factors", nargs="+", type=int, default=list(FACTORS))
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--laps", type=int, default=3)
    options = parser.parse_args()
    if not options.data.is_dir():
        sys.exit(f"--data {options.data}: no such folder")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = random_model.build(folder / "model", options.data)
        tokenizer = AutoTokenizer.from_pretrained(folder / "model")
        print(f"model: {parameters / 1e6:.1f} M random parameters, {options.dtype}, {options.laps} laps")
        found: dict[Case, list[dict[str, Any]]] = {case: [] for case in cases(options.tasks, options.factors)}
        # Lap by lap, so that a slow moment of a shared machine does not fall on one case alone.
        for lap in range(options.laps):
            for case, results in found.items():
                workload = workloads.workload(case.task, options.data, options.questions * case.factor, tokenizer)
                results.append(run(case, workload, folder, options.dtype))
                print(f"lap {lap}: {case}: {results[-1]['request_s']:.2f} s", file=sys.stderr, flush=True)
    print(HEADER)
    for case, results in found.items():
        print(line(case, results))


if __name__ == "__main__":
    main()
