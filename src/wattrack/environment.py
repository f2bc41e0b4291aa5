"""Where a job runs: machine, operating system, library versions and the state of the checkout.

Covers: what can be read without privileges, without importing heavy libraries and without a network. A
fact that cannot be read is left out, never guessed.
Does not cover: GPUs and their driver (monitors/nvml.py says those).
"""

import os
import platform
import re
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wattrack import __version__

_LIBRARIES = ("torch", "transformers", "mlflow", "hydra-core", "codecarbon")
_GIT_TIMEOUT_S = 2.0
_GIB = 2**30
ENV_LABEL = "WATTRACK_ENV"
"""Environment variable with the user's own word for this machine ("lab-a100", "laptop")."""


def describe() -> dict[str, str]:
    """Facts of the machine and the software, by tag name."""
    facts = {
        "env.label": os.environ.get(ENV_LABEL, ""),
        "env.hostname": socket.gethostname(),
        "env.os_platform": platform.platform(),
        "env.cpu_model": _cpu_model(),
        "env.virtualization": _virtualization(),
        "env.python": platform.python_version(),
        "env.cuda": _cuda(),
        **_counts(),
        "env.wattrack": __version__,  # of the code that runs: a checkout may have been installed at an older one
        **{f"env.{name}": _version(name) for name in _LIBRARIES},
        **_checkout(Path(__file__).resolve().parent),
    }
    return {key: value for key, value in facts.items() if value}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _cuda() -> str:
    """CUDA version torch was built for, when the job already imported torch."""
    torch = sys.modules.get("torch")
    return str(torch.version.cuda or "") if torch is not None else ""


def _counts() -> dict[str, str]:
    import psutil

    physical, logical = psutil.cpu_count(logical=False), psutil.cpu_count()
    return {
        "env.cpu_physical": str(physical or ""),
        "env.cpu_logical": str(logical or ""),
        "env.ram_gib": f"{psutil.virtual_memory().total / _GIB:.1f}",
    }


def cpu_info() -> str:
    """What Linux says of the processor: maker, model, flags; empty elsewhere."""
    return _read("/proc/cpuinfo")


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", cpu_info(), re.MULTILINE)
    return match[1].strip() if match else platform.processor()


def _virtualization() -> str:
    """A hint that energy counters may be missing and neighbours present: hypervisor, container."""
    hints = []
    if re.search(r"^flags\s*:.*\bhypervisor\b", cpu_info(), re.MULTILINE):
        product = _read("/sys/class/dmi/id/product_name").strip()
        hints.append(f"virtual machine ({product})" if product else "virtual machine")
    if any(Path(p).exists() for p in ("/.dockerenv", "/run/.containerenv")) or "KUBERNETES_SERVICE_HOST" in os.environ:
        hints.append("container")
    return ", ".join(hints)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _checkout(folder: Path) -> dict[str, str]:
    """Commit of this package's checkout and whether tracked files changed. Empty for an installed package."""
    if "site-packages" in folder.parts:
        return {}
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    facts = {"git.commit": commit}
    if changed is not None:
        facts["git.dirty"] = "true" if changed else "false"
    return facts


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of a git command; None when git is absent, slow or not in a checkout."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
