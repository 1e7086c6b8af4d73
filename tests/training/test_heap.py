"""What is freed stays with the process, so that the next step need not ask the system again."""

import platform
import subprocess
import sys

import pytest

MIB = 2**20
KEPT = """
import sys, psutil, torch
from lico.training.heap import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
resident = psutil.Process().memory_info().rss
tensors = [torch.ones(2**24) for _ in range(3)]  # 64 MiB each
del tensors
print(psutil.Process().memory_info().rss - resident)
"""


def kept(way: str) -> int:
    command = [sys.executable, "-c", KEPT, way]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not GNU's C library")
def test_freed_memory_is_kept() -> None:
    assert kept("leave") < 32 * MIB
    assert kept("keep") > 160 * MIB
