"""Reading stored runs: seconds to load RUNS folders of 1,319 questions with manifest, records, readings and metrics.

The folders are made of one real run of an embedded model, its records repeated until there are as many as GSM8K has.
Target: 100 runs in seconds (under 10).

    python benchmarks/read_runs.py [RUNS]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from wattrack.runs import codec, layout
from wattrack.runs.read import load_run

CHECKOUT = Path(__file__).resolve().parents[1]
QUESTIONS = 1319


def one_run(root: Path) -> Path:
    """The folder of a real run, with as many records as GSM8K has questions."""
    settings = ["model=demo_xs", "limit=100", "probe_questions=20", "tracking=local", "tracking.traces=none"]
    command = [sys.executable, "-m", "src.run", *settings]
    subprocess.run(command, cwd=CHECKOUT, env={**os.environ, "WATTRACK_ROOT": str(root)}, check=True)
    (manifest,) = (root / "multirun").rglob(layout.MANIFEST)
    records = load_run(manifest.parent).records
    many = [replace(records[n % len(records)], id=f"test-{n:05d}") for n in range(QUESTIONS)]
    codec.write_records(manifest.parent / layout.RECORDS, many)
    return manifest.parent


def main(runs: int) -> None:
    """Make the folders, read each once and print one line a part."""
    with tempfile.TemporaryDirectory() as name:
        folder = one_run(Path(name))
        copies = [Path(shutil.copytree(folder, Path(name) / "copies" / str(n))) for n in range(runs)]
        parts = {"manifest": 0.0, "records": 0.0, "readings": 0.0, "metrics": 0.0}
        for copy in copies:
            started_s = time.perf_counter()
            run = load_run(copy)
            parts["manifest"] += time.perf_counter() - started_s
            for part in ("records", "readings", "metrics"):
                started_s = time.perf_counter()
                getattr(run, part)
                parts[part] += time.perf_counter() - started_s
            assert len(run.records) == QUESTIONS
        print(f"{runs} runs of {QUESTIONS} questions: {sum(parts.values()):.2f} s")
        for part, seconds in parts.items():
            print(f"  {part:10} {seconds:6.2f} s   {1000 * seconds / runs:6.1f} ms a run")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
