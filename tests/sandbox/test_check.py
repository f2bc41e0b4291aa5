"""Hostile programs: whatever a program does, it passes only by passing its tests, and nothing of it stays."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from wattrack.errors import ConfigError, ScoringError
from wattrack.sandbox import check
from wattrack.sandbox.check import LEVELS, Kind, Level, Limits, Program, Sandbox, attempt, strongest

TESTS = "import math\nassert f(1) == 2\nassert abs(f(2) - 3) < 1e-9 and math.isclose(f(3), 4)\n"
WRONG = "def f(x):\n    return None\n"
RIGHT = "def f(x):\n    return x + 1\n"
QUICK = Limits(cpu_s=1, wall_s=3.0, memory_bytes=2**28, disk_bytes=2**22)

FORGED = {
    "exits": ("import sys\nsys.exit(0)", "exit"),
    "exits when called": ("def f(x):\n    import os\n    os._exit(0)", "exit"),
    "exits hard": ("import os\nos._exit(0)", "exit"),
    "exits as a failed start would": ("import os\nos._exit(127)", "exit"),
    "raises SystemExit when called": ("def f(x):\n    raise SystemExit(0)", "exit"),
    "says it passed": ("print('passed')\nimport sys\nsys.stderr.write('passed')\n" + WRONG, "assertion"),
    "says so to every descriptor": (
        "import os\nfor fd in range(64):\n    try:\n        os.write(fd, b'passed')\n    except OSError:\n"
        "        pass\n"
        "os._exit(0)",
        "exit",
    ),
    "catches the assertion": ("try:\n    assert False\nexcept AssertionError:\n    pass\n" + WRONG, "assertion"),
    "raises its own kind of success": ("class Passed(BaseException):\n    pass\nraise Passed('passed')", "error"),
    "has a replaced AssertionError": ("import builtins\nbuiltins.AssertionError = int\n" + WRONG, "assertion"),
    "overwrites builtins": (
        "import builtins\nbuiltins.abs = lambda x: 0\nabs = lambda x: 0\ndef f(x):\n    return 2 if x == 1 else 0",
        "assertion",
    ),
    "patches a module of the tests": (
        "import math, sys\nmath.isclose = lambda a, b: True\nsys.modules['math'] = None\n"
        "def f(x):\n    return x + 1 if x < 3 else 0",
        "assertion",
    ),
    "patches what the judge calls": (
        "import os, sys\nos._exit = lambda s: None\nos.write = print\n" + WRONG,
        "assertion",
    ),
    "forks and lets the parent end": ("import os\nif os.fork():\n    os._exit(0)\n" + WRONG, "exit"),
    "forks and lets the child end": ("import os\nif not os.fork():\n    os._exit(0)\n" + WRONG, "assertion"),
    "registers atexit": ("import atexit, os\natexit.register(os.write, 3, b'passed')\n" + WRONG, "assertion"),
    "reads its arguments": (
        "import sys, os\nos.write(3, ' '.join([*sys.argv, *sys.orig_argv])[-32:].encode())\nos._exit(0)",
        "exit",
    ),
    "reads standard input": (
        "import os, sys\nos.write(3, os.read(0, 9999) + sys.stdin.read().encode())\nos._exit(0)",
        "exit",
    ),
    "reads /proc": (
        "import os\nfor n in ('cmdline', 'environ', 'mem', 'fd/0'):\n    try:\n"
        "        os.write(3, open(f'/proc/self/{n}', 'rb').read(32))\n    except OSError:\n        pass\nos._exit(0)",
        None,
    ),
    "walks the frames for it": (
        "import sys, os\nframe = sys._getframe()\nwhile frame:\n"
        "    for d in (frame.f_locals, frame.f_globals):\n"
        "        for v in [*d.values()]:\n"
        "            args = getattr(v, 'args', None) or getattr(v, '__defaults__', None)\n"
        "            for b in [v, *(args if isinstance(args, tuple) else ())]:\n"
        "                if isinstance(b, bytes) and len(b) == 32:\n                    os.write(3, b)\n"
        "    frame = frame.f_back\nos._exit(0)",
        "exit",
    ),
    "asks the judge for the steps again": (
        "import sys, os\nframe = sys._getframe()\nwhile frame.f_back:\n    frame = frame.f_back\n"
        "frame.f_globals['steps']()[4]()\nos._exit(0)",
        "error",
    ),
    "looks for it with gc": (
        "import gc, os\nfor o in gc.get_objects():\n    for b in getattr(o, 'args', None) or ():\n"
        "        if isinstance(b, bytes):\n            os.write(3, b)\nos._exit(0)",
        "forbidden",
    ),
    "steps over the tests": (
        "import sys\ndef jump(frame, event, arg):\n    return jump\nsys.settrace(jump)\n" + WRONG,
        "forbidden",
    ),
    "loads ctypes": ("import ctypes\n" + RIGHT, "error"),
    "asks a subinterpreter, which has no hooks": (
        "try:\n    import _xxsubinterpreters as s\nexcept ImportError:\n    import _interpreters as s\n"
        "s.run_string(s.create(), 'import ctypes')\n" + RIGHT,
        "error",
    ),
    "makes such a module itself": (
        "import _imp, sys\nfrom importlib.machinery import ModuleSpec, PathFinder\n"
        "for name in ('_xxsubinterpreters', '_interpreters', '_ctypes'):\n    spec = PathFinder.find_spec(name)\n"
        "    make = _imp.create_dynamic if spec else _imp.create_builtin\n    try:\n"
        "        module = make(spec or ModuleSpec(name, None))\n        _imp.exec_builtin(module)\n"
        "        module.create()\n    except (ImportError, AttributeError):\n        continue\n" + WRONG,
        None,
    ),
    "loads cffi": ("import _cffi_backend\n" + RIGHT, "error"),
    "answers with what equals everything": (
        "class Any:\n    def __eq__(self, other):\n        return True\n    def __sub__(self, other):\n"
        "        return self\n    __lt__ = __eq__\n    def __abs__(self):\n        return self\n"
        "    def __float__(self):\n        return 4.0\ndef f(x):\n    return Any()",
        "assertion",
    ),
    "answers with a number that equals everything": (
        "class Any(float):\n    def __eq__(self, other):\n        return True\n"
        "def f(x):\n    return Any(x + 1) if x > 1 else Any(7)",
        "assertion",
    ),
    "answers with mock's ANY": (
        "from unittest.mock import ANY\ndef f(x):\n    return ANY if x == 1 else x + 1",
        "assertion",
    ),
    "patches a module of the tests when called": (
        "import math\ndef f(x):\n    math.isclose = lambda a, b: True\n    return x + 1 if x < 3 else 0",
        "assertion",
    ),
    "patches it from a thread": (
        "import math, threading, time\ndef patch():\n    while True:\n        math.isclose = lambda a, b: True\n"
        "threading.Thread(target=patch, daemon=True).start()\n"
        "def f(x):\n    time.sleep(0.02)\n    return x + 1 if x < 3 else 0",
        "assertion",
    ),
    "patches it when it is put back": (
        "import builtins, math\nclass Patch:\n    def __del__(self):\n        math.isclose = lambda a, b: True\n"
        "    def __hash__(self):\n        math.isclose = lambda a, b: True\n        return 1\n"
        "builtins.patch = Patch()\nglobals()[Patch()] = 1\ndef f(x):\n    return x + 1 if x < 3 else 0",
        "assertion",
    ),
    "stops itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n" + WRONG, None),
    "answers every exec with an error": (
        "import sys\ndef hook(event, args):\n    if event == 'exec':\n        raise SystemExit(0)\n"
        "sys.addaudithook(hook)\n" + WRONG,
        "exit",
    ),
    "brings its own guard": ("__plain__ = lambda value: value\n" + WRONG, "assertion"),
    "reaches for the judge's names": (
        "import __main__\n__main__.plain = __main__.restored = lambda *args: None\n" + WRONG,
        "assertion",
    ),
    "takes the judge's names": (
        "import __main__\nfor name in ('plain', 'leave', 'told', 'write', 'deceives'):\n    getattr(__main__, name)\n"
        + RIGHT,
        "error",
    ),
    "closes every descriptor": ("import os\nos.closerange(0, 64)\n" + WRONG, "exit"),
    "puts another descriptor in place of the result": (
        "import os\nread, write = os.pipe()\nos.dup2(write, 3)\n" + WRONG,
        "exit",
    ),
    "is not Python": ("def f(x) return x", "syntax"),
    "is not text": ("def f(x):\n    return '\ud800\x00'", "syntax"),
    "recurses": ("def f(x):\n    return f(x)", "error"),
    "has an error that cannot be shown": (
        "class E(Exception):\n    def __str__(self):\n        raise SystemExit(0)\nraise E",
        "exit",
    ),
}
"""Name -> (program, how it fails; None = any way)."""


def isolated() -> Level:
    if not strongest().namespaces:
        pytest.skip("this machine has no namespaces for the sandbox")
    return strongest()


def run(code: str, tests: str = TESTS, limits: Limits = QUICK) -> check.Verdict:
    return attempt(Program(code=code, tests=tests), limits, strongest())


def test_a_right_program_passes_and_a_wrong_one_fails() -> None:
    assert run(RIGHT).kind == "passed"
    assert run(WRONG).kind == "assertion"
    assert run("def f(x):\n    return y").detail.startswith("NameError")


@pytest.mark.parametrize("name", FORGED)
def test_a_pass_cannot_be_forged(name: str) -> None:
    code, kind = FORGED[name]
    verdict = run(code)
    assert not verdict.passed
    assert kind in (None, verdict.kind), verdict


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_every_level_that_this_machine_has_tells_right_from_wrong(level: Level) -> None:
    try:
        verdicts = [attempt(Program(code=c, tests=TESTS), QUICK, level, tries=1) for c in (RIGHT, WRONG)]
    except ScoringError as e:
        pytest.skip(str(e))
    assert [v.kind for v in verdicts] == ["passed", "assertion"]


GREEDY: dict[str, tuple[str, tuple[Kind, ...]]] = {
    "loops": ("while True:\n    pass", ("timeout",)),
    "loops and catches everything": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        ("timeout",),
    ),
    "sleeps": ("import time\ntime.sleep(99)", ("timeout",)),
    "ignores signals": (
        "import signal\nfor s in (1, 2, 15, 24):\n    signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        ("timeout",),
    ),
    "fills memory": ("x = [0] * 10**10", ("memory",)),
    "fills memory slowly": ("x = []\nwhile True:\n    x.append(' ' * 10**6 + str(len(x)))", ("memory",)),
    "fills the disk": (
        "n = 0\nwhile True:\n    with open(str(n), 'wb') as f:\n        f.write(b' ' * 10**6)\n    n += 1",
        ("error",),
    ),
    "writes one large file": ("with open('x', 'wb') as f:\n    while True: f.write(b' ' * 10**6)", ("error", "killed")),
    "prints without end": ("while True: print('x' * 10**6)", ("timeout",)),
    "floods the result": ("import os\nwhile True: os.write(3, b'x' * 65536)", ("timeout",)),
    "forks without end": ("import os\nwhile True: os.fork()", ("error", "timeout")),
    "starts threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
        ("error", "timeout"),
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if "timeout" in GREEDY[n][1] else []) for n in GREEDY]
)
def test_greed_has_limits(name: str) -> None:
    isolated()
    code, kinds = GREEDY[name]
    started_s = time.perf_counter()
    # Time is the limit where time is what is wasted; elsewhere a busy machine must not be what stops the program.
    limits = QUICK if "timeout" in kinds else replace(QUICK, cpu_s=10, wall_s=20.0)
    assert run(code, limits=limits).kind in kinds
    assert time.perf_counter() - started_s < limits.wall_s + 10


def test_the_machine_is_out_of_reach() -> None:
    isolated()
    secret, folder = "wattrack-secret", str(Path.cwd())
    # Of the checkout only the environment inside it, when it has one: programs may use installed packages.
    environment = {Path(p).relative_to(folder).parts[0] for p in check._libraries() if Path(p).is_relative_to(folder)}
    os.environ["WATTRACK_SECRET"] = secret
    try:
        verdict = run(
            "import os, socket, errno\n"
            f"assert {secret!r} not in os.environ.values() and set(os.environ) <= {{'HOME', 'PYTHONHASHSEED', "
            "'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'LC_CTYPE'}, os.environ\n"
            f"assert not os.path.exists({folder!r}) or set(os.listdir({folder!r})) <= {environment!r}\n"
            "assert not os.path.exists('/proc/self') and not os.path.exists('/etc/passwd')\n"
            f"assert os.getcwd() == {check._private()!r} and os.listdir('.') == []\n"
            "assert os.getuid() != 0 and os.getpid() == 1\n"
            "for act in (lambda: os.setuid(0), lambda: os.mkdir('/x'), lambda: open('/usr/x', 'w'),\n"
            "            lambda: os.chroot('.'), lambda: os.kill(2, 9),\n"
            "            lambda: socket.create_connection(('1.1.1.1', 53), timeout=1)):\n"
            "    try:\n        act()\n    except OSError:\n        continue\n    raise ValueError('allowed')\n" + RIGHT
        )
    finally:
        del os.environ["WATTRACK_SECRET"]
    assert verdict.passed, verdict


READER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Part(ctypes.Structure):
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t)]
into, parent = ctypes.create_string_buffer(16), int(sys.argv[1])
here, there = Part(ctypes.addressof(into), 16), Part(int(sys.argv[2]), 16)
read = libc.process_vm_readv(parent, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) == 16
new_user = 0x10000000
had = [read, libc.ptrace(0x4206, parent, 0, 0) == 0, libc.unshare(new_user) == 0, libc.memfd_create(b"x", 0) >= 0]
os._exit(64 + sum(2**i for i, yes in enumerate(had) if yes))
"""


def test_a_program_started_without_hooks_reads_no_memory_and_gets_none_uncounted() -> None:
    isolated()
    verdict = run(
        f"import os, sys\ncode = {READER!r}\nchild = os.fork()\nif child == 0:\n"
        "    os.execv(sys.executable, [sys.executable, '-S', '-c', code, str(os.getppid()), str(id(code))])\n"
        "raise ValueError(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert verdict.detail == "ValueError: 64", "one bit for each call that was allowed"


def test_nothing_in_the_private_folder_is_executed() -> None:
    isolated()
    verdict = run(
        "import os, shutil\nshutil.copy('/usr/bin/env', 'mine')\nos.chmod('mine', 0o755)\nos.execv('mine', ['mine'])\n"
    )
    assert verdict.detail.startswith("PermissionError")


def test_no_descriptor_is_inherited() -> None:
    there = "import os\nfound = []\nfor fd in range(64):\n    try:\n        os.fstat(fd)\n        found.append(fd)\n"
    assert (
        run(f"{there}    except OSError:\n        pass\nraise ValueError(found)").detail == "ValueError: [0, 1, 2, 3]"
    )


HONEST = [
    ("collections.Counter('aab')", "{'a': 2, 'b': 1}"),
    ("fractions.Fraction(1, 3) * 3", "1"),
    ("decimal.Decimal('0.5')", "0.5"),
    ("Point(1, [2])", "Point(1, [2])"),
    ("Pair(1, 2)", "(1, 2)"),
    ("Colour.RED", "Colour.RED"),
    ("float('-inf')", "float('-inf')"),
    ("[float('nan')]", "f()"),
    ("collections.deque([1, {2: (3,)}])", "collections.deque([1, {2: (3,)}])"),
]


@pytest.mark.parametrize(("value", "wanted"), HONEST)
def test_an_honest_value_may_compare_itself(value: str, wanted: str) -> None:
    code = (
        "import collections, dataclasses, decimal, enum, fractions\n@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "    y: list\nPair = collections.namedtuple('Pair', 'a b')\nclass Colour(enum.Enum):\n    RED = 1\n"
        f"made = {value}\ndef f():\n    return made\n"
    )
    assert run(code, f"import collections\nassert f() == {wanted} and f() in [{wanted}] and not f() != {wanted}").passed


@pytest.mark.parametrize("library", ["numpy", "asyncio", "multiprocessing", "subprocess", "dataclasses"])
def test_libraries_can_be_used(library: str) -> None:
    generous = Limits(cpu_s=5, wall_s=15.0, memory_bytes=2**30, disk_bytes=2**22)
    assert run(f"import {library}\n{RIGHT}", limits=generous).passed


def test_numbers_of_numpy_compare() -> None:
    code = "import numpy as np\ndef f(x):\n    return np.float64(x) + np.int64(1)\n"
    generous = Limits(cpu_s=5, wall_s=15.0, memory_bytes=2**30, disk_bytes=2**22)
    assert run(code, limits=generous).passed


def test_signals_do_not_leave() -> None:
    isolated()
    verdict = run(
        "import os, signal\nfor pid in (os.getppid(), 0, -1):\n    try:\n        os.kill(pid, signal.SIGTERM)\n"
        "    except OSError:\n        pass\n" + RIGHT
    )
    assert verdict.kind in ("passed", "killed")


MARK = "wattrack_left_behind"
DAEMON = (
    "import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    f"        os.execv(sys.executable, [sys.executable, '-S', '-c', 'import time; time.sleep(60) # {MARK}'])\n"
    "    os._exit(0)\ntime.sleep(0.3)\n"
)


def left_behind() -> list[str]:
    lines = (p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists())
    return [line.decode() for line in lines if f"# {MARK}".encode() in line]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("level", LEVELS, ids=lambda level: level.name)
def test_a_detached_grandchild_does_not_outlive_the_check(level: Level) -> None:
    try:
        verdict = attempt(Program(code=DAEMON + RIGHT, tests=TESTS), QUICK, level, tries=1)
    except ScoringError as e:
        pytest.skip(str(e))
    assert verdict.kind == ("passed" if level.namespaces else "forbidden")
    assert left_behind() == []


def test_a_verdict_does_not_depend_on_the_order_of_sets() -> None:
    code = "order = ''.join({'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'})\nraise ValueError(order)"
    assert run(code).detail == run(code + "\n").detail


def test_a_name_that_hides_a_builtin_counts_only_where_it_is_asked_for() -> None:
    code = "def sum(a, b):\n    return a + b\n"
    assert attempt(Program(code=code, tests="assert sum(1, 2) == 3", own=("sum",)), QUICK, strongest()).passed
    assert not run(code, "assert sum(1, 2) == 3").passed


def test_equal_programs_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Program] = []
    original = check.attempt
    monkeypatch.setattr(check, "attempt", lambda p, *rest: (calls.append(p), original(p, *rest))[1])
    sandbox = Sandbox(allow=True, limits=QUICK)
    assert [sandbox.check(Program(code=RIGHT, tests=TESTS)).passed for _ in range(2)] == [True, True]
    assert len(calls) == 1


def test_weak_isolation_needs_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "strongest", lambda: LEVELS[-1])
    with pytest.raises(ConfigError, match=r"sandbox\.allow=true"):
        Sandbox().check(Program(code=RIGHT, tests=TESTS))
    assert Sandbox(allow=True, limits=QUICK).check(Program(code=RIGHT, tests=TESTS)).passed
    assert Sandbox().isolation == "limits only"


def test_a_broken_jail_is_no_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check.sys, "executable", "/nonexistent/python")
    with pytest.raises(ScoringError, match="could not be run in the sandbox"):
        run(RIGHT)


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path) -> None:
    code = (
        "from wattrack.sandbox.check import *\n"
        "attempt(Program(code='open(\"x\", \"w\")', tests=''), Limits(), strongest())"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []
