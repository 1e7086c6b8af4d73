"""Folders of the host that a container sees, and whether they are as it needs them."""

import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

_FORM = "HOST, HOST:ro, HOST:CONTAINER or HOST:CONTAINER:ro"
_ACCESS = {"ro": False, "rw": True}


class ContainerError(ValueError):
    """A container setting that cannot work here; the message says what to change."""


class Mount(NamedTuple):
    """One folder or file of the host in the container.

    Attributes:
        source: absolute path on the host.
        target: absolute path in the container.
        writable: whether the container may change it.
    """

    source: Path
    target: Path
    writable: bool


def parse_mount(text: str, folder: Path) -> Mount:
    """Read `HOST[:CONTAINER][:ro|:rw]`; without CONTAINER the path is the same inside.

    Args:
        text: HOST may begin with `~`, hold `$VARIABLES`, or be relative to `folder`.
        folder: the working folder.

    Raises:
        ContainerError: if it has another form.
    """
    host, *rest = text.split(":")
    access = rest.pop() if rest and rest[-1] in _ACCESS else "rw"
    if not host or len(rest) > 1 or "," in text:
        raise ContainerError(
            f"mounts: {text!r} is not {_FORM} (paths with a comma or a colon cannot be mounted)"
        )
    source = host_path(host, folder)
    target = Path(rest[0]) if rest else source
    if not target.is_absolute():
        raise ContainerError(
            f"mounts: {text!r}: the path in the container, {str(target)!r}, must begin with /"
        )
    return Mount(source, target, _ACCESS[access])


def host_path(text: str, folder: Path) -> Path:
    """The absolute path that a setting names, with `~` and `$VARIABLES` filled in.

    Raises:
        ContainerError: if a variable is not set.
    """
    unset = [name for name in re.findall(r"\$\{?(\w+)", text) if name not in os.environ]
    if unset:
        raise ContainerError(
            f"{text}: the variable {unset[0]} is not set here; export it or write the path out"
        )
    path = os.path.normpath(folder / Path(os.path.expandvars(text)).expanduser())
    if set(path) & set(",:"):
        raise ContainerError(f"{path}: a path with a comma or a colon cannot be mounted")
    return Path(path)


def with_folder(mounts: list[Mount], folder: Path) -> list[Mount]:
    """The mounts and the working folder, unless one of them brings it to the same place."""
    if any(reaches(mount, folder) for mount in mounts):
        return mounts
    return [Mount(folder, folder, writable=True), *mounts]


def reaches(mount: Mount, path: Path) -> bool:
    """Whether the mount makes the host's `path` visible under the same name in the container."""
    return mount.source == mount.target and path.is_relative_to(mount.source)


def check_mount(mount: Mount) -> None:
    """Look whether the host has the path and, unless it is read-only, lets this user write.

    Raises:
        ContainerError: if not, with the remedy.
    """
    if not mount.source.exists():
        raise ContainerError(
            f"mounts: {mount.source} does not exist on this machine; create it "
            f"(mkdir -p {mount.source}) or correct mounts in the cluster profile"
        )
    if not mount.writable:
        return
    try:
        if mount.source.is_dir():
            with tempfile.TemporaryFile(dir=mount.source):
                pass
        else:
            with mount.source.open("r+b"):
                pass
    except OSError as error:
        raise ContainerError(
            f"mounts: cannot write to {mount.source} ({error.strerror}); make it writable for "
            "results, or mount it read-only by adding :ro"
        ) from error
