"""Copy a packed file to node-local disk, once per node however many jobs start there."""

import fcntl
import os
import shutil
import warnings
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from lico.data.packed.read import read_header

SPARE = 1.02  # share of a file's size that must be free for its copy


class StagingWarning(UserWarning):
    """A packed file could not be copied to node-local disk; it is read where it is."""


def staged(path: Path, folder: str | Path) -> Path:
    """The copy of a packed file on node-local disk, which the first of all jobs makes.

    The copy's name has the fingerprint, so that a new pack is never mistaken for an old one. A
    lock lets one job copy and the others wait; the copy appears whole, by renaming. What a
    killed job left half-copied is removed by the next. With a full or unusable local disk the
    file is read where it is, and a warning says so.

    Args:
        path: the packed file.
        folder: on node-local disk; environment variables in it are expanded.

    Raises:
        PackError: if the packed file is missing or not whole.
    """
    mark = read_header(path).fingerprint[:16]
    local = Path(os.path.expandvars(folder))
    target = local / f"{path.stem}-{mark}{path.suffix}"
    if _same_size(target, path):
        return target
    try:
        local.mkdir(parents=True, exist_ok=True)
        with _locked(local / f".{target.name}.lock"):
            if not _same_size(target, path):
                _copy(path, target)
    except OSError as error:
        warnings.warn(
            f"data.stage={folder}: {path.name} is not copied there "
            f"({error.strerror or error}); it is read from {path.parent}",
            StagingWarning,
            stacklevel=2,
        )
        return path
    return target


def _copy(path: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)  # of a job that was killed; the lock is ours
    needed, free = path.stat().st_size, shutil.disk_usage(target.parent).free
    if needed * SPARE > free:
        raise OSError(f"{needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")
    try:
        shutil.copyfile(path, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        if not _same_size(temporary, path):
            raise OSError("the copy is shorter than the file")
        temporary.replace(target)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Hold a lock that goes with the process; the file stays, so that nobody locks a dead one."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _same_size(copy: Path, original: Path) -> bool:
    return copy.is_file() and copy.stat().st_size == original.stat().st_size
