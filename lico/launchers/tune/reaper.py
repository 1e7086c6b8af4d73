"""Ends what a command has started under Ray, also when the command itself was killed.

    python -m lico.launchers.tune.reaper FOLDER [LINK] < pipe

waits until the pipe's other end closes, which even SIGKILL does, then kills what of Ray works in
the session's folder, and removes it. Most of Ray ends with the command by itself, but its agents
only after a minute, and not if `ray start` has started it.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

SERVERS = ("raylet", "gcs_server", Path(sys.executable).name)
TITLE = "ray::"  # how the command lines of Ray's workers and agents begin
ROUNDS = 50  # looks for processes, a tenth of a second apart, until none is left


@contextmanager
def reaper(folder: Path, link: Path | None) -> Generator[None]:
    """Have the session in `folder` ended and removed at the end of the block, or of the process."""
    command = [sys.executable, "-m", __name__, str(folder), *([str(link)] if link else [])]
    process = subprocess.Popen(  # noqa: S603 (our own module)
        command, stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield
    finally:
        if process.stdin:
            process.stdin.close()
        process.wait()


def end_session(folder: Path, link: Path | None) -> None:
    """Kill the processes of a session and remove its files."""
    for _ in range(ROUNDS):
        left = [process for process in psutil.process_iter() if _belongs(process, folder)]
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        if not left:
            break
        time.sleep(0.1)
    if link is not None:
        with suppress(OSError):
            link.unlink()
            link.parent.rmdir()
    shutil.rmtree(folder, ignore_errors=True)


def _belongs(process: psutil.Process, folder: Path) -> bool:
    with suppress(psutil.Error, OSError):
        words = process.cmdline()
        if process.pid == os.getpid() or not words:
            return False
        if Path(words[0]).name in SERVERS:
            return any(str(folder) in word for word in words)
        if words[0].startswith(TITLE):
            return any(Path(each.path).is_relative_to(folder) for each in process.open_files())
    return False


if __name__ == "__main__":
    sys.stdin.read()
    end_session(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
