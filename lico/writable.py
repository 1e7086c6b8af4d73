"""Places to write for libraries that expect a home and a temporary folder.

In a container the root may be read-only, HOME unset or of somebody else, and the user unknown;
on some clusters the home folder cannot be written from compute nodes.
"""

import os
import pwd
import tempfile
from pathlib import Path

from lico.errors import ResultsError

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (the last place that every container can write)


def provide_writable_places() -> None:
    """Make sure of a temporary folder, a home folder and a user name; inherited by all workers.

    What is there and usable stays as it is. Call it before libraries with caches are imported.

    Raises:
        ResultsError: if there is no place for temporary files at all.
    """
    temporary = _temporary_folder()
    home = Path(os.environ.get("HOME") or "~")
    if not (home.is_absolute() and os.access(home, os.W_OK | os.X_OK)):
        weights = home / ".cache" / "huggingface"
        if weights.is_dir():
            os.environ.setdefault("HF_HOME", str(weights))
        os.environ["HOME"] = str(_own_folder(temporary))
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("USER", f"user-{os.getuid()}")


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        if not os.access(_SHARED_MEMORY, os.W_OK | os.X_OK):
            raise ResultsError(
                "there is no place for temporary files: set TMPDIR to a writable folder, or give "
                "the container one (docker run --tmpfs /tmp)"
            ) from error
    tempfile.tempdir = os.environ["TMPDIR"] = str(_SHARED_MEMORY)
    return _SHARED_MEMORY


def _own_folder(temporary: Path) -> Path:
    """One folder a user, readable by nobody else; a new one if another user took its name."""
    folder = temporary / f"lico-home-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid == os.getuid() and not folder.is_symlink():
        return folder
    return Path(tempfile.mkdtemp(prefix="lico-home-", dir=temporary))
