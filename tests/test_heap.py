"""Freed memory is kept where the C library can do that."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
from lipglance.heap import keep_freed_memory
if {keep}:
    assert keep_freed_memory()
for _ in range(20):
    bytearray(40 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(keep):
    code = FAULTS.format(keep=keep)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do as they do")
def test_pages_that_were_freed_are_not_fetched_anew():
    assert faults(keep=True) < 0.3 * faults(keep=False)
