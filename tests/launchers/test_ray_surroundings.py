"""`lico tune` on a machine without a network, and on a disk that is full: both real."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.small import TINY, write_experiment

LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any:
    fcntl.ioctl(any, 0x8914, struct.pack("16sH22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
names = [name for _, name in socket.if_nameindex()]
assert names == ["lo"], names
os.execv(sys.argv[1], sys.argv[1:])
"""
SMALL_DISK = 'mount -t tmpfs -o size="$0" none "$1"; shift; exec "$@"'


def may_unshare() -> bool:
    program = shutil.which("unshare")
    return (
        bool(program)
        and not subprocess.run([str(program), "-m", "-n", "true"], check=False).returncode
    )


needs_namespaces = pytest.mark.skipif(
    not may_unshare(), reason="a private network or mount needs root on Linux"
)


def tune(folder: Path, before: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    """`lico tune` on four small runs, behind some words."""
    name = write_experiment(folder)
    return subprocess.run(
        [*before, sys.executable, "-m", "lico", "tune", name, *TINY, "--jobs", "2", *more],
        cwd=folder, capture_output=True, text=True, check=False, timeout=900,
        env=os.environ | {"XDG_CACHE_HOME": str(folder / "cache")},
    )  # fmt: skip


@needs_namespaces
def test_it_works_without_a_network(tmp_path: Path) -> None:
    done = tune(tmp_path, ["unshare", "--net", sys.executable, "-c", LOOPBACK_UP])
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "results" / "small" / "report.html").exists()


@needs_namespaces
def test_a_full_disk_is_said_and_nothing_half_written_is_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    mount = ["unshare", "--mount", "sh", "-ec", SMALL_DISK, "1500k", str(tmp_path / "results")]
    done = tune(tmp_path, mount)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, said
    assert "Traceback" not in said
    assert "space" in said
    again = tune(tmp_path, [])
    assert again.returncode == 0, again.stdout + again.stderr
