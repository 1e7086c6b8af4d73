"""What `make logs` shows."""

import time
from collections import deque
from pathlib import Path

from rich.console import Console

from slurm.errors import ClusterError
from slurm.submission import load_all

POLL_S = 1.0


def show_logs(console: Console, run: str, results: Path, lines: int, *, follow: bool) -> None:
    """Print the end of the latest log of each run whose id has `run` in it.

    Args:
        console: where to.
        run: a run id or a part of it.
        results: folder of all results.
        lines: of each log.
        follow: go on as the log grows, until Ctrl-C; only for one run.

    Raises:
        ClusterError: if no submitted run fits, none of those has a log yet, or several fit and
            one is to be followed.
    """
    fits, found = _logs_of(run, results)
    if not fits:
        raise ClusterError(f"no submitted run in {results} has {run!r} in its name")
    if not found:
        raise ClusterError(f"{', '.join(sorted(fits))} has no log yet: it has not started")
    if follow and len(found) > 1:
        raise ClusterError(f"{len(found)} runs fit {run!r}: {', '.join(sorted(found))}; name one")
    for name, log in sorted(found.items()):
        console.rule(f"{name}  {log}")
        for line in tail(log, lines):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if follow:
        _follow(console, next(iter(found.values())))


def _logs_of(run: str, results: Path) -> tuple[set[str], dict[str, Path]]:
    """The submitted runs that fit, and the logs of those that have one."""
    fits, found = set[str](), dict[str, Path]()
    for folder in sorted(results.glob("*/slurm")):
        for submission in load_all(folder):
            for name in (name for task in submission.runs for name in task if run in name):
                fits.add(name)
                log = submission.log(name, folder.parent / "work" / name)
                if log is not None:
                    found[name] = log
    return fits, found


def tail(log: Path, lines: int) -> list[str]:
    """The last lines of a file."""
    with log.open(errors="replace") as file:
        return [line.rstrip("\n") for line in deque(file, lines)]


def _follow(console: Console, log: Path) -> None:
    with log.open(errors="replace") as file:
        file.seek(0, 2)
        while True:
            text = file.read()
            if text:
                console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
            else:
                time.sleep(POLL_S)
