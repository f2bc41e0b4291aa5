"""A machine without network: the cache is filled elsewhere by a command, and jobs run from it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_rows import INVENTED
from hub_repositories import repository
from hub_server import Hub, serving
from support import CHECKOUT

JOB = ["model=demo_xs", "dataset=gsm8k", "hardware.threads=1", "probe_questions=0"]


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.parametrize("fill", [("wattrack", "list", "dataset=gsm8k"), ("src.run", "dry_run=true", *JOB)])
def test_a_cache_filled_elsewhere_serves_a_job_without_network(
    environment: dict[str, str], tmp_path: Path, fill: tuple[str, ...]
) -> None:
    with serving(Hub()) as hub:
        commit = hub.push("openai/gsm8k", repository("gsm8k", INVENTED["gsm8k"]))
        filled = _run(*fill, **{**environment, "HF_ENDPOINT": hub.url})
        assert filled.returncode == 0, filled.stderr
    moved = tmp_path / "carried over"
    (tmp_path / "hub").rename(moved)
    offline = {**environment, "HF_HOME": str(moved), "HF_HUB_OFFLINE": "1"}
    listed = _run("wattrack", "list", **offline).stdout
    assert f"ready: {commit[:8]}" in listed
    done = _run("src.run", *JOB, **offline)
    assert done.returncode == 0, done.stderr
    summary = json.loads(next((tmp_path / "multirun").rglob("summary.json")).read_text("utf-8"))
    assert summary["dataset"]["revision"] == commit
    assert summary["dataset"]["rows"] == 2
    refused = _run("src.run", "model=demo_xs", "dataset=mmlu", **offline)
    assert refused.returncode != 0
    [line] = [text for text in refused.stderr.splitlines() if "cannot reach the Hugging Face hub" in text]
    assert "cais/mmlu (HF_HUB_OFFLINE is set), and the cache" in line
