"""One submission of a study at a time."""

import fcntl
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from slurm.errors import ClusterError


@contextmanager
def only_one(folder: Path) -> Generator[None]:
    """Hold the study while the block runs.

    Raises:
        ClusterError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClusterError(
                f"another submission of this study is under way ({folder}); wait for it to end"
            ) from error
        except OSError:
            pass  # a file system without locks: two submissions at once are then only wasteful
        yield
