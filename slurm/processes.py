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


def works_for(pid: int, root: Path) -> bool:
    """Whether the process was started for the private cluster below `root`."""
    mark = f"SLURM_CONF={root / 'slurm.conf'}".encode()
    with suppress(OSError):
        process = Path(f"/proc/{pid}")
        words = (process / "cmdline").read_bytes()
        return str(root).encode() in words or mark in (process / "environ").read_bytes().split(
            b"\0"
        )
    return False


def leftover(root: Path) -> list[int]:
    """Step daemons of a private cluster that outlived the daemon of their node."""
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if "slurmstepd" in (folder / "comm").read_text() and works_for(
                    int(folder.name), root
                ):
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
