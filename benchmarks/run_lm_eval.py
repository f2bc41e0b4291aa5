"""One workload through lm-eval's hf backend, as a whole process: a part of vs_lm_eval.py.

Runs in the peer's own environment and imports nothing of wattrack. Every setting is lm-eval's default except those
given here, so bf16 log-probabilities come from a softmax in bf16 unless `--softmax fp32` is given.

    PEER/bin/python benchmarks/run_lm_eval.py WORKLOAD.json MODEL_FOLDER OUT.json --dtype fp32 --batch 16
"""

import argparse
import contextlib
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


def instances_of(workload: dict[str, Any]) -> list[Instance]:
    """The workload's requests as lm-eval's model interface takes them: one per candidate or prompt."""
    if workload["kind"] == "choice":
        pairs = [
            (item["id"], context, continuation)
            for item in workload["items"]
            for context, continuation in item["candidates"]
        ]
        return [
            Instance(request_type="loglikelihood", doc={"id": i}, arguments=(context, continuation), idx=0)
            for i, context, continuation in pairs
        ]
    settings = {
        "until": workload["stop"],
        "max_gen_toks": workload["max_new_tokens"],
        "do_sample": False,
        "temperature": 0.0,
    }
    return [
        Instance(request_type="generate_until", doc={"id": i["id"]}, arguments=(i["prompt"], settings), idx=0)
        for i in workload["items"]
    ]


def answers_of(workload: dict[str, Any], results: list[Any]) -> dict[str, Any]:
    """What the comparison reads, by question."""
    if workload["kind"] == "generate":
        return {item["id"]: {"text": text} for item, text in zip(workload["items"], results, strict=True)}
    answers, position = {}, 0
    for item in workload["items"]:
        count = len(item["candidates"])
        answers[item["id"]] = {"logprobs": [float(pair[0]) for pair in results[position : position + count]]}
        position += count
    return answers


def limit_memory() -> None:
    """Make running out of memory an error that batch size detection can catch, and not the end of the process."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        resource.setrlimit(resource.RLIMIT_DATA, (int(free * 0.8), resource.RLIM_INFINITY))


def main() -> None:
    """Run and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("workload", "model", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--dtype", choices=tuple(DTYPES), required=True)
    parser.add_argument("--batch", required=True)
    parser.add_argument("--softmax", choices=("default", "fp32"), default="default")
    options = parser.parse_args()
    limit_memory()
    workload = json.loads(options.workload.read_text("utf-8"))
    instances = instances_of(workload)
    lm = HFLM(
        pretrained=str(options.model),
        dtype=DTYPES[options.dtype],
        softmax_dtype="float32" if options.softmax == "fp32" else None,
        batch_size=options.batch,
        device="cpu",
    )
    run = lm.loglikelihood if workload["kind"] == "choice" else lm.generate_until
    started_s = time.perf_counter()
    results = run(instances, disable_tqdm=True)
    result = {
        "request_s": time.perf_counter() - started_s,
        "threads": torch.get_num_threads(),
        "answers": answers_of(workload, results),
    }
    options.out.write_text(json.dumps(result), "utf-8")


if __name__ == "__main__":
    main()
