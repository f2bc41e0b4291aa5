"""The README's commands, run as they stand (slow: the demo runs four models)."""

import re
import subprocess

import pytest

from support import CHECKOUT

README = (CHECKOUT / "README.md").read_text("utf-8")
COMMANDS = [
    line.split("  #")[0].split("   #")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
RUN_BY_CI = {"make demo", "make test"}
NEEDS_THE_HUB = {"python -m src.run -m model=qwen1_5b,qwen7b dataset=gsm8k"}


def test_commands_are_found() -> None:
    assert {"make demo", "make test", "python -m src.run", "wattrack list"} <= set(COMMANDS)
    assert set(COMMANDS) >= NEEDS_THE_HUB


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in RUN_BY_CI | NEEDS_THE_HUB])
def test_command_runs(command: str, environment: dict[str, str], outputs: object) -> None:
    if "DIR" in command:
        folder = CHECKOUT.parent / "shared" / "data" / "gsm8k"
        if not folder.is_dir():
            pytest.skip("the verification rows are not beside this checkout")
        command = command.replace("DIR", str(folder))
    done = subprocess.run(
        ["bash", "-c", f'PATH="{CHECKOUT}/.venv/bin:$PATH"; {command}'],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_images_are_there() -> None:
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (CHECKOUT / path).is_file(), path
