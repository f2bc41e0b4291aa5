"""One workload through wattrack's transformers engine, as a whole process: a part of the other benchmarks.

    python benchmarks/run_wattrack.py WORKLOAD.json MODEL_FOLDER OUT.json --dtype fp32 --batch 32 --mode shared

Memory is resident memory: the kernel's high-water mark over the request phase minus what was resident before it.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from wattrack.engines.hf import HFEngine
from wattrack.schema import Candidate, ChoiceRequest, Generation, Request, Response

STATUS = Path("/proc/self/status")


def requests_of(workload: dict[str, Any]) -> list[Any]:
    """The workload's questions as the engine takes them."""
    if workload["kind"] == "choice":
        return [
            ChoiceRequest(
                sample_id=item["id"],
                repeat=0,
                candidates=tuple(Candidate(context=c, continuation=e) for c, e in item["candidates"]),
            )
            for item in workload["items"]
        ]
    settings = Generation(max_new_tokens=workload["max_new_tokens"], stop=tuple(workload["stop"]))
    return [
        Request(sample_id=item["id"], repeat=0, prompt=item["prompt"], generation=settings, seed=0)
        for item in workload["items"]
    ]


def answer_of(response: Response) -> dict[str, Any]:
    """What the comparison reads of one response."""
    if response.error is not None:
        sys.exit(f"{response.sample_id}: {response.error}")
    return {"text": response.text, "logprobs": list(response.logprobs), "output_tokens": response.usage.output_tokens}


def memory_mib(key: str) -> float | None:
    """`VmRSS` or `VmHWM` of this process; None where the kernel does not say."""
    try:
        lines = STATUS.read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{key}:")), None)


def reset_high_water() -> float | None:
    """Start a new high-water mark at what is resident now, which is returned; None where that is impossible."""
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")
    except OSError:
        return None
    return memory_mib("VmRSS")


def main() -> None:
    """Run and write one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("workload", "model", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), required=True)
    parser.add_argument("--batch", default="auto", help="a number, or auto: from the free memory")
    parser.add_argument("--mode", choices=("shared", "naive"), default="shared")
    parser.add_argument("--heap", choices=("kept", "plain"), default="kept")
    options = parser.parse_args()
    workload = json.loads(options.workload.read_text("utf-8"))
    requests = requests_of(workload)
    engine = HFEngine(
        model_id=str(options.model),
        dtype=options.dtype,
        device="cpu",
        mode=options.mode,
        heap=options.heap,
        batch_size=None if options.batch == "auto" else int(options.batch),
    )
    facts = dict(engine.load())
    engine.self_test()
    resident = reset_high_water()
    started_s = time.perf_counter()
    run = engine.loglikelihood if workload["kind"] == "choice" else engine.generate
    responses = list(run(requests))
    engine.synchronize()
    request_s = time.perf_counter() - started_s
    highest = memory_mib("VmHWM")
    result = {
        "request_s": request_s,
        "added_mib": None if resident is None or highest is None else highest - resident,
        "computed_tokens": engine.computed_tokens,
        "asked_tokens": sum(r.usage.input_tokens + max(0, r.usage.output_tokens - 1) for r in responses),
        "threads": facts["effective/threads"],
        "mode": engine.facts().params()["effective/mode"],
        "batch": engine.facts().params()["effective/batch_size"],
        "fallbacks": engine.facts().params()["effective/fallbacks"],
        "answers": {response.sample_id: answer_of(response) for response in responses},
    }
    options.out.write_text(json.dumps(result), "utf-8")


if __name__ == "__main__":
    main()
