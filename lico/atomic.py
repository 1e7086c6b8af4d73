"""A file appears whole or not at all."""

import errno
import os
import uuid
from contextlib import suppress
from pathlib import Path

from lico.errors import ResultsError

_REMEDIES = {
    errno.ENOSPC: "free some space there, or choose another folder with run.results=FOLDER",
    errno.EDQUOT: "free some of your quota, or choose another folder with run.results=FOLDER",
    errno.EFBIG: "allow larger files (ulimit -f), or choose another file system",
    errno.ENOENT: "create the folder first",
}
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP)  # some network file systems


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one step: a reader sees the old file or the new one.

    Written under a unique temporary name in the same folder, flushed to the disk, renamed; the
    folder is flushed too. The temporary file goes on any failure; after a power cut or kill it
    may stay, but its name (`.NAME.*.tmp`) is never that of a result.

    Args:
        path: the target; its folder must exist.
        content: all of the file.

    Raises:
        ResultsError: if the disk is full, the folder is missing or may not be written; the
            target is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        remedy = _REMEDIES.get(
            error.errno or 0, "make the folder writable or choose another run.results=FOLDER"
        )
        raise ResultsError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)
