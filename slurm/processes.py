"""Processes by number: whether they run, whose they are, and how they end."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PATIENCE_S = 20.0


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits for its parent does not."""
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


def command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def leftover(root: Path) -> list[int]:
    """Step daemons and other processes of this cluster that outlived their daemon."""
    mark = f"SLURM_CONF={root / 'slurm.conf'}".encode()
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with suppress(OSError):
                stepd = "slurmstepd" in (folder / "comm").read_text()
                if (stepd and mark in (folder / "environ").read_bytes().split(b"\0")) or str(
                    root / "run"
                ) in command_line(int(folder.name)):
                    found.append(int(folder.name))
    return found


def end(pids: list[int]) -> None:
    """Ask the processes to end, and after a while make them."""
    for kind, patience in ((signal.SIGTERM, PATIENCE_S), (signal.SIGKILL, 2.0)):
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, kind)
        deadline = time.monotonic() + patience
        while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        pids = [pid for pid in pids if alive(pid)]
        if not pids:
            return
