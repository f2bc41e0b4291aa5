"""What mode `shared` does to the C library's heap, in a process of its own, for it lasts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from wattrack.engines.weights import heap

SCRIPT = """
import ctypes, resource
import psutil, torch

from wattrack.engines.weights import heap

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def rss_mib():
    return psutil.Process().memory_info().rss // 2**20

def returned_mib():
    '''What of 180 MiB goes back to the system when it is freed, the second time.'''
    for _ in range(2):
        blocks = [libc.malloc(30 * 2**20) for _ in range(6)]
        for block in blocks:
            libc.memset(block, 1, 30 * 2**20)
        used = rss_mib()
        for block in reversed(blocks):
            libc.free(block)
    return used - rss_mib()

def faults(passes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(passes):
        for mebibytes in (2, 9, 4, 30, 12):
            a = torch.ones(mebibytes * 2**20 // 4)
            b = a * 2
            c = a + b
            del a, b, c
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
plain = returned_mib()
heap.keep_freed()
kept = returned_mib()
faults(3)
anew, held = faults(5), rss_mib()
heap.hand_back()
print(plain, kept, anew, held - rss_mib())
"""
PAGES = 5 * 3 * (2 + 9 + 4 + 30 + 12) * 256
"""What the five passes touch, in pages of 4 KiB."""


@pytest.mark.skipif(heap._glibc("mallopt") is None, reason="not glibc")
def test_freed_memory_is_reused_and_handed_back() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    plain_mib, kept_mib, anew, handed_back_mib = map(int, done.stdout.split())
    # By itself glibc keeps at most twice its largest threshold, 64 MiB, at the heap's end (mallopt(3)); how much of
    # that varies from process to process, and so do page faults by the kernel's huge pages: neither is compared.
    assert plain_mib > 100 and kept_mib < 10
    assert anew < PAGES / 20
    assert handed_back_mib > 150


MODEL = Path(heap.__file__).parents[2] / "demo" / "models" / "demo_xs"
JOBS = """
import json, sys
from wattrack.engines.hf import HFEngine

for mode, wanted in (("naive", "plain"), ("shared", "plain"), ("naive", "kept"), ("naive", "plain")):
    engine = HFEngine(model_id=sys.argv[1], device="cpu", mode=mode, heap=wanted)
    facts = engine.load().params()
    print(json.dumps([facts["effective/heap"], facts.get("effective/fallbacks")]))
    engine.close()
"""


@pytest.mark.skipif(heap._glibc("mallopt") is None, reason="not glibc")
def test_both_modes_have_one_heap_and_a_plain_one_is_for_the_first_jobs_of_a_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOBS, str(MODEL)], capture_output=True, text=True, check=True, timeout=120
    )
    *first, last = map(json.loads, done.stdout.splitlines())
    assert [name for name, _ in first] == ["plain", "plain", "kept"]
    assert last[0] == "kept" and "heap plain -> kept" in last[1]
