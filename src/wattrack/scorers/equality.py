"""Mathematical equality of two answers, decided by math-verify in a process that is killed when it takes too long."""

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wattrack.errors import ScoringError

_WORKER = Path(__file__).with_name("equality_worker.py")
_START_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What came of one comparison."""

    equal: bool
    read: str | None
    """What was read in the answer, as math-verify prints it; None when nothing was."""
    why: str = ""
    """Why no decision was reached, and so `equal` is False; empty after a decision."""


class MathVerifier:
    """One worker process, started by the first comparison and again after a kill. Safe to call from any thread.

    Covers: endless computation (killed after `limit_s` wall seconds), exhausted memory, crashes. Such a pair counts as
    not equal, with the reason. Does not cover: a machine so slow that an honest comparison (some 5 ms) takes as long.
    """

    def __init__(self, limit_s: float = 5.0) -> None:
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""
        self._lock = threading.Lock()

    def compare(self, gold: str, answer: str) -> Compared:
        """Whether `answer` equals `gold`, both as text that may hold LaTeX. ScoringError without math-verify."""
        with self._lock:
            try:
                process = self._started()
                self._send(process, {"gold": gold, "answer": answer})
                reply = self._reply(process, self._limit_s)
            except TimeoutError:
                self._kill()
                return Compared(equal=False, read=None, why=f"not decided within {self._limit_s:g} s")
            except (EOFError, OSError):
                self._kill()
                return Compared(equal=False, read=None, why="the comparison crashed")
        why = f"math-verify failed: {reply['why']}" if "why" in reply else ""
        return Compared(equal=reply["equal"], read=reply["read"], why=why)

    def close(self) -> None:
        """End the worker. Idempotent; the next comparison starts another."""
        with self._lock:
            self._kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._kill()
        # A new interpreter, not a fork, which would copy a process that holds a CUDA context. -P: the worker's folder
        # is no place to import from.
        command = [sys.executable, "-P", "-W", "ignore", str(_WORKER)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        self._process = process
        try:
            ready = self._reply(process, _START_LIMIT_S)
        except (TimeoutError, EOFError) as e:
            self._kill()
            raise ScoringError(f"math-verify could not be started ({' '.join(command)})") from e
        if "error" in ready:
            self._kill()
            raise ScoringError(str(ready["error"]))
        return process

    def _send(self, process: subprocess.Popen[bytes], asked: dict[str, str]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()

    def _reply(self, process: subprocess.Popen[bytes], limit_s: float) -> dict[str, Any]:
        """The next line of the worker; TimeoutError after `limit_s`, EOFError when it has ended."""
        assert process.stdout is not None
        until_s = time.perf_counter() + limit_s
        while b"\n" not in self._pending:
            left_s = until_s - time.perf_counter()
            if left_s <= 0 or not select.select([process.stdout], [], [], left_s)[0]:
                raise TimeoutError
            read = os.read(process.stdout.fileno(), 65536)
            if not read:
                raise EOFError
            self._pending += read
        line, _, self._pending = self._pending.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _kill(self) -> None:
        process, self._process, self._pending = self._process, None, b""
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # what was not sent no longer matters
                    stream.close()


@cache
def verifier() -> MathVerifier:
    """The verifier of this process; its worker ends with the process."""
    shared = MathVerifier()
    atexit.register(shared.close)
    return shared
