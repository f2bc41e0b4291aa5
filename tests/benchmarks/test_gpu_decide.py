"""The GPU decision's index computations, emulated on a CPU: every variant generates the tokens of mode shared."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu" / "decide.py"
ROWS = (1, 3, 8)
VARIANTS = ("shared", "naive", "grouped", "flash", "graph")


@pytest.fixture(scope="module")
def emulated() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), "--emulate"], capture_output=True, text=True, check=False, timeout=3600
    )


@pytest.mark.slow
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_generates_the_tokens_of_shared(
    emulated: subprocess.CompletedProcess[str], variant: str, rows: int
) -> None:
    found = re.search(rf"^tiny +{variant} +rows={rows} .*", emulated.stdout, re.MULTILINE)
    assert found, emulated.stdout + emulated.stderr
    assert "gap=0.0 " in found[0]
    assert found[0].endswith("same=1.0")


@pytest.mark.slow
def test_the_exit_status_says_that_all_agree(emulated: subprocess.CompletedProcess[str]) -> None:
    assert emulated.returncode == 0, emulated.stdout + emulated.stderr
