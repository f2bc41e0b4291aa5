"""What mode `shared` does to the C library's heap, in a process of its own, for it lasts."""

import subprocess
import sys

import pytest

from wattrack.engines import heap

SCRIPT = """
import resource
import psutil, torch
from wattrack.engines import heap

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
faults(3)
plain = faults(5)
heap.keep_freed()
faults(3)
kept, held = faults(5), psutil.Process().memory_info().rss
heap.hand_back()
print(plain, kept, (held - psutil.Process().memory_info().rss) // 2**20)
"""


@pytest.mark.skipif(heap._glibc("mallopt") is None, reason="not glibc")
def test_freed_memory_is_reused_and_handed_back() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=120)
    plain, kept, handed_back_mib = map(int, done.stdout.split())
    assert plain > 20_000 and kept < plain / 20  # 30 MiB are 7,680 pages
    assert handed_back_mib > 60
