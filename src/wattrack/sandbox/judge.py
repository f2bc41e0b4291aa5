"""What runs a program and its tests: the source of a fresh interpreter inside the jail, never imported by wattrack.

Passing is proved by a nonce on descriptor 3, written by the step after the last test. While the program runs the nonce
is in no frame, variable, argument or file: it sits in the argument list of a C iterator that only the C stack holds,
and an audit hook, which Python code cannot remove, ends the process when something looks for such objects (`gc`) or
steps over the tests (`sys.settrace`). Modules that read memory (`ctypes`, cffi) or run code where no such hook is
(subinterpreters) cannot be imported.
What a program does to builtins and modules while it is defined is undone before the tests. These run in a namespace of
their own, with copies of the modules that they import, and fail where a compared value equals what it cannot know.

Not covered, because the tests call the program in its own process: a function that looks at its caller's frames finds
the expected values and the names that the tests use; it can change classes and submodules of libraries. Native code
of installed packages (numpy's strides) and crafted bytecode can read memory, and so the nonce.
"""

from __future__ import annotations

import builtins
import marshal
import os
import sys
from _collections import deque  # type: ignore[import-not-found]  # the C part alone, for speed
from _functools import partial  # type: ignore[import-not-found]
from _operator import call, contains, eq, ge, gt, le, lt, ne

if False:  # for the type checker: the imports would be part of every check
    from collections.abc import Callable, Sequence
    from types import ModuleType
    from typing import Any, NoReturn

    Namespace = dict[str, Any]

write, leave = os.write, os._exit  # before a program can replace them

RESULT_FD = 3
FORBIDDEN = 9
"""Exit status of a program that looked for what it must not see."""

NATIVE = (
    "_ctypes", "_cffi_backend", "_testcapi", "_testinternalcapi",
    "_xxsubinterpreters", "_interpreters",
)  # fmt: skip
"""Modules that read memory, or run code where the audit hooks do not."""

PLAIN = frozenset({int, float, bool, complex, str, bytes, type(None)})
HOLDERS: tuple[Any, ...] = (list, tuple, set, frozenset, deque)
flags = type.__dict__["__flags__"].__get__
PYTHON_CLASS = 1 << 9
"""Py_TPFLAGS_HEAPTYPE: a class whose comparisons a program can write."""


def alone(event: str, args: tuple[object, ...], leave: Callable[[int], NoReturn] = leave) -> None:
    """Audit hook where no namespace counts processes: root's would have no limit."""
    if event in {"os.fork", "os.forkpty", "os.posix_spawn", "subprocess.Popen"}:
        leave(FORBIDDEN)


def watch(
    event: str,
    args: tuple[object, ...],
    leave: Callable[[int], NoReturn] = leave,
    real: Callable[[str], str] = os.path.realpath,
    text: Callable[[str | bytes], str] = os.fsdecode,
    modules: tuple[str, ...] = NATIVE,
) -> None:
    """Audit hook; it holds nothing secret, because it can be seen."""
    looking = event in {
        "gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames", "sys._current_exceptions",
        "sys.settrace", "sys.setprofile", "sys.monitoring.register_callback", "cpython.PyInterpreterState_New",
    }  # fmt: skip
    if event == "import":
        # By name, or by file where the name is made up; libraries such as numpy can do without.
        for name in (f"{args[0]}".rpartition(".")[2], f"{args[1]}".rpartition("/")[2].partition(".")[0]):
            if name in modules:
                raise ImportError(f"{name} is not available to programs under test", name=name)
    native = event.startswith("ctypes.")
    memory = event == "open" and isinstance(args[0], str | bytes) and real(text(args[0])).startswith("/proc")
    if looking or native or memory:
        leave(FORBIDDEN)


def restored(saved: list[tuple[Namespace, Namespace]]) -> None:
    """Put back the content of each (dictionary, copy)."""
    for live, copy in saved:
        live.clear()
        live.update(copy)


def namespace(program: Namespace, tests: Namespace, own: tuple[str, ...], natural: Namespace) -> None:
    """Fill the tests' namespace: what the program defined, without what hides a builtin it was not asked to define."""
    # Asking another key than a text for its hash would run the program's code here.
    tests.update({k: v for k, v in program.items() if type(k) is str and (k in own or k not in natural)})
    tests["__builtins__"] = natural
    tests["__plain__"] = plain


def copied(modules: Sequence[ModuleType]) -> dict[str, ModuleType]:
    """Modules with the same content, which nothing but the tests sees; `sys` stays, its content is replaced by use."""
    found = {}
    for module in modules:
        if module is not sys:
            found[module.__name__] = type(sys)(module.__name__)
            vars(found[module.__name__]).update(vars(module))
    return found


def imported(copies: dict[str, ModuleType], name: str, *args: Any, real: Callable[..., Any] = __import__) -> Any:
    """`__import__` of the tests: (globals, locals, fromlist, level) follow the name."""
    absolute = len(args) < 4 or args[3] == 0
    return copies[name] if absolute and name in copies else real(name, *args)


def plain(value: Any) -> Any:
    """A value that the tests compare; AssertionError where it, or something in it, equals all it is held against."""
    todo, seen = [value], set()
    while todo:
        item = todo.pop()
        kind = type(item)
        if kind in PLAIN or id(item) in seen:
            continue
        seen.add(id(item))
        if flags(kind) & PYTHON_CLASS and deceives(item):
            raise AssertionError("a compared value equals everything")
        if issubclass(kind, dict):
            todo += [*dict.keys(item), *dict.values(item)]
        for holder in HOLDERS:
            if issubclass(kind, holder):
                todo += holder.__iter__(item)
    return value


def deceives(item: Any) -> bool:
    """Whether it agrees with values that nobody can foresee, or is beyond every number, text and list."""
    number = int.from_bytes(os.urandom(8), "little")
    unforeseen = (number, float(number), str(number), b"%d" % number, [number], (number,), {number}, {number: number})
    lowest: tuple[Any, ...] = (-1.7e308, "", [], ())
    questions: list[tuple[Any, Any]] = [(eq, other) for other in unforeseen]
    questions += [(lt, low) for low in lowest] + [(le, -1.7e308), (gt, 1.7e308), (ge, 1.7e308), (ne, item)]
    if hasattr(type(item), "__contains__"):
        questions += [(contains, number), (contains, str(number))]
    for op, other in questions:
        try:
            if op(item, other):
                return True
        except Exception:  # noqa: BLE001  whatever a comparison raises is no agreement
            continue
    return False


def steps() -> list[Callable[[], object]]:
    """Read the job; return what to call, in order. Nothing of it stays in a frame or a global."""
    job = marshal.loads(sys.stdin.buffer.read())
    os.dup2(1, 0)
    sys.path += job["paths"]
    code = compile(job["code"], "<program>", "exec", dont_inherit=True)
    asserts = compile(job["tests"], "<tests>", "exec", dont_inherit=True)
    used = [__import__(name) for name in job["modules"]]
    module = type(sys)("program")
    # This file's own names would else be one import away.
    sys.modules["program"], sys.modules["__main__"] = module, type(sys)("__main__")
    natural = {**vars(builtins), "__import__": partial(imported, copied(used))}
    saved = [(vars(m), dict(vars(m))) for m in (*used, builtins)] + [(sys.modules, dict(sys.modules))]
    tests = {"__name__": "tests"}
    sys.addaudithook(watch)
    if not job["may_fork"]:
        sys.addaudithook(alone)
    return [
        partial(exec, code, vars(module)),
        partial(restored, saved),
        partial(namespace, vars(module), tests, job["own"], natural),
        partial(exec, asserts, tests),
        partial(write, RESULT_FD, job["nonce"]),
        partial(leave, 0),
    ]


def told(kind: str, detail: object = "") -> None:
    """Say why it failed; whoever forges this only fails in another way."""
    write(RESULT_FD, f"{kind}\n{detail}".encode("utf-8", "replace")[:1000])


try:
    deque(map(call, steps()), 0)
except AssertionError as e:
    told("assertion", e)
except MemoryError:
    told("memory")
except SyntaxError as e:
    told("syntax", e)
except SystemExit as e:
    told("exit", e)
except BaseException as e:  # noqa: BLE001  everything a program raises is a failure of the program
    told("error", f"{type(e).__name__}: {e}")
finally:
    leave(1)
