"""One check of a model-written program: it passes its tests or it does not, whatever it does to the machine or to us.

Every check is a process of its own (`jail.py`) around a fresh interpreter (`judge.py`): empty environment and folder,
closed standard input, limits on CPU time, wall time, memory, disk and processes. `Sandbox.isolation` says what holds
the program besides:

- "namespaces": no network, no files but the interpreter's (read-only), no other process to see, signal or read, no
  memory beyond the limits (a seccomp filter), and nothing outlives the check. Needs Linux 5.12 with user namespaces, or
  root. A program may fill `processes` times its memory before it is ended.
- "limits only, as nobody" (root without namespaces) and "limits only": the program can start no process, but it can
  read what the user can read, use the network, and signal the user's processes. Only for programs that are trusted, and
  only with `sandbox.allow=true`.

None of it is a virtual machine: a flaw in the kernel lets a program out. `judge.py` says what proves a pass.
"""

import ast
import logging
import marshal
import os
import re
import secrets
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from wattrack.errors import ConfigError, ScoringError

log = logging.getLogger(__name__)

Kind = Literal["passed", "assertion", "syntax", "error", "exit", "memory", "timeout", "forbidden", "killed"]

_HERE = Path(__file__).parent
_FORBIDDEN_STATUS = 9
_GRACE_S = 20.0
"""Beyond the wall limit, for a jail on a machine that is busy."""
_TRIES = 3
_USED_UP = 0.4
"""Share of the CPU limit from which a SIGKILL is taken for that limit: the kernel counts whole ticks for the limit and
real time for the report, which on a shared machine is less."""
_IMPORT = re.compile(r"^\s*(?:import|from)\s+(\w+)", re.MULTILINE)
_FAILURES: tuple[Kind, ...] = ("assertion", "syntax", "error", "exit", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one program may use."""

    cpu_s: int = 5
    """Seconds of one process; HumanEval's own runner gives 3 s of wall time."""
    wall_s: float = 15.0
    """Seconds, for programs that wait; generous, because a busy machine must not change a verdict."""
    memory_bytes: int = 2**30
    """Address space of one process."""
    disk_bytes: int = 2**26
    """The private folder (with namespaces) and every file in it."""
    processes: int = 8
    """Processes and threads at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """Code and the tests that it must pass."""

    code: str
    tests: str
    """Runs after `code` and sees its names, except those that hide a builtin."""
    own: tuple[str, ...] = ()
    """Names that the code is asked to define: they may hide a builtin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What came of one check."""

    kind: Kind
    detail: str = ""
    """One line of the program's own words, cut; not to be trusted."""

    @property
    def passed(self) -> bool:
        """Whether every test ran and none failed."""
        return self.kind == "passed"


@dataclass(frozen=True, slots=True)
class Level:
    """One way of confining a program."""

    name: str
    namespaces: bool
    nobody: bool


LEVELS = (
    Level("namespaces", namespaces=True, nobody=os.geteuid() == 0),
    *([Level("limits only, as nobody", namespaces=False, nobody=True)] if os.geteuid() == 0 else []),
    Level("limits only", namespaces=False, nobody=False),
)
"""Strongest first."""


class Sandbox:
    """Runs programs at the strongest level that this machine has; safe to use from several threads."""

    def __init__(self, *, allow: bool = False, limits: Limits | None = None) -> None:
        """`allow`: run programs even where isolation is weak."""
        self._allow, self._limits = allow, limits or Limits()
        self._verdicts: dict[Program, Verdict] = {}

    @property
    def workers(self) -> int:
        """Checks to run at a time: one for each processor that this process may use."""
        usable = getattr(os, "sched_getaffinity", None)
        return len(usable(0)) if usable else os.cpu_count() or 1

    @property
    def isolation(self) -> str:
        """The level that this machine has, by name."""
        return strongest().name

    def require(self) -> None:
        """Refuse before anything runs: ConfigError where programs would not be held and nobody allowed that."""
        if not strongest().namespaces and not self._allow:
            raise ConfigError(
                f"this dataset runs code that the model wrote, and this machine isolates it weakly ({self.isolation}): "
                "run where user namespaces are allowed, or in a container that you can lose with sandbox.allow=true"
            )

    def check(self, program: Program) -> Verdict:
        """Run the program and its tests once; equal programs are run once.

        Raises:
            ConfigError: see `require`.
            ScoringError: the jail itself failed, several times; no fault of the program.
        """
        self.require()
        if program not in self._verdicts:
            self._verdicts[program] = attempt(program, self._limits, strongest())
        return self._verdicts[program]


@cache
def strongest() -> Level:
    """The first level that runs a trivial program here; one of them does."""
    trivial = Program(code="x = 1", tests="assert x == 1")
    for level in LEVELS[:-1]:
        try:
            if attempt(trivial, Limits(), level, tries=1).passed:
                return level
        except ScoringError as e:
            log.info("isolation %r is not available: %s", level.name, e)
    return LEVELS[-1]


def attempt(program: Program, limits: Limits, level: Level, tries: int = _TRIES) -> Verdict:
    """One check at one level; ScoringError when the jail failed `tries` times."""
    reason = ""
    for _ in range(tries):
        nonce = secrets.token_hex(16).encode()
        done = _jail(program, nonce, limits, level)
        if isinstance(done, str):
            reason = done
            continue
        head, _, written = done.partition(b"\n")
        status, late, cpu_s = head.split()
        return _verdict(int(status), bool(int(late)) or float(cpu_s) >= _USED_UP * limits.cpu_s, written, nonce)
    raise ScoringError(f"a program could not be run in the sandbox ({level.name}): {reason}")


def _jail(program: Program, nonce: bytes, limits: Limits, level: Level) -> bytes | str:
    """The jail's report, or one line on why there is none."""
    content = marshal.dumps(
        {
            "code": _encodable(program.code),
            "tests": _guarded(program.tests),
            "own": program.own,
            "modules": sorted(set(_IMPORT.findall(program.tests))),
            "paths": _libraries(),
            "nonce": nonce,
            "may_fork": level.namespaces,
        }
    )
    with tempfile.TemporaryDirectory(prefix="wattrack-", ignore_cleanup_errors=True) as folder:
        if level.nobody:
            os.chmod(folder, 0o777)
        command = [sys.executable, "-I", "-S", "-B", str(_HERE / "jail.py"), _settings(limits, level, folder)]
        try:
            done = subprocess.run(
                command,
                input=content,
                capture_output=True,
                timeout=limits.wall_s + _GRACE_S,
                check=False,
                env={},
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return "the jail did not end in time"
        except OSError as e:
            return f"the jail could not be started: {e}"
    if done.returncode != 0 or not done.stdout:
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return last[-1] if last else f"the jail ended with status {done.returncode}"
    return done.stdout


def _settings(limits: Limits, level: Level, folder: str) -> str:
    job = {
        "namespaces": level.namespaces,
        "nobody": level.nobody,
        "folder": os.path.realpath(folder),
        "visible": _visible(),
        "private": _private(),
        "python": os.path.realpath(sys.executable),
        "judge": (_HERE / "judge.py").read_text("utf-8"),
        "environment": {
            "HOME": _private(),
            "PYTHONHASHSEED": "0",  # the order of sets of strings must not change a verdict
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        "cpu_s": limits.cpu_s,
        "wall_s": limits.wall_s,
        "memory_bytes": limits.memory_bytes,
        "disk_bytes": limits.disk_bytes,
        "processes": limits.processes,
    }
    return marshal.dumps(job).hex()


@cache
def _libraries() -> list[str]:
    """Where installed packages are: programs may use what the environment has, numpy for one."""
    return sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


@cache
def _visible() -> list[str]:
    """What the interpreter needs, and nothing inside anything else of the list."""
    wanted = {"/usr", "/lib", "/lib64", os.path.realpath(sys.base_prefix), *_libraries()}
    there = sorted(path for path in wanted if os.path.isdir(path))
    return [p for p in there if not any(p != q and p.startswith(f"{q}/") for q in there)]


@cache
def _private() -> str:
    """The program's own folder in its namespaces; an environment that lies below /tmp must not be hidden by it."""
    return "/private" if any(path.startswith("/tmp/") for path in _visible()) else "/tmp"


_PARSING = threading.Lock()
"""Python 3.11 counts the depth of what it parses for all threads together and stops with SystemError."""


class _Guard(ast.NodeTransformer):
    """Puts `__plain__(...)`, which the judge defines, around everything that the tests compare."""

    def visit_Compare(self, node: ast.Compare) -> ast.Compare:
        """Compared values; identity cannot deceive."""
        self.generic_visit(node)
        if all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops):
            return node
        left, *others = (_plain(part) for part in (node.left, *node.comparators))
        return ast.Compare(left=left, ops=node.ops, comparators=others)


def _plain(value: ast.expr) -> ast.expr:
    if isinstance(value, ast.Constant):
        return value
    return ast.Call(func=ast.Name(id="__plain__", ctx=ast.Load()), args=[value], keywords=[])


@lru_cache(maxsize=1024)
def _guarded(tests: str) -> str:
    """The tests, which are the dataset's and no model's, with guards; as they are where they are no Python."""
    try:
        with _PARSING:
            return ast.unparse(ast.fix_missing_locations(_Guard().visit(ast.parse(tests))))
    except (SyntaxError, ValueError, RecursionError):
        return tests


def _encodable(code: str) -> str:
    """Lone surrogates cannot be sent and are no Python either."""
    return code.encode("utf-8", "replace").decode("utf-8")


def _verdict(status: int, used_up: bool, written: bytes, nonce: bytes) -> Verdict:
    """Only the nonce, written exactly once by a process that ended well, is a pass."""
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        return Verdict(kind="timeout") if used_up else Verdict(kind="killed", detail=name)
    code = os.WEXITSTATUS(status)
    if code == 0 and written == nonce:
        return Verdict(kind="passed")
    if code == _FORBIDDEN_STATUS:
        return Verdict(kind="forbidden", detail="looked for what it must not see")
    kind, _, detail = written.decode("utf-8", "replace").partition("\n")
    for known in _FAILURES:
        if kind == known and code == 1:
            return Verdict(kind=known, detail=" ".join(detail.split())[:200])
    return Verdict(kind="exit", detail=f"status {code} before the last test passed")
