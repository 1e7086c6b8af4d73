"""HDF5 in memory, sealed with a checksum: the only module that knows h5py, which has no types.

A sealed file begins with a user block of 512 bytes (HDF5 readers skip it) that holds the SHA-256
of everything after it. A file that is cut short, changed by a single bit or something else is
known before the HDF5 library parses it.
"""

import hashlib
import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py as _untyped  # pyright: ignore[reportMissingTypeStubs]
import numpy as np

from lico.errors import ResultsError

Node = Any  # an h5py file, group or data set

h5py: Any = _untyped

SEAL_BYTES = 512
_TEXT: Any = h5py.string_dtype()
_SEAL_START = b"lico sealed HDF5; SHA-256 of all after these 512 bytes: "
_HDF5_START = b"\x89HDF\r\n\x1a\n"
_COMPRESS_FROM_BYTES = 4096  # smaller data sets take more room as chunks


def sealed(fill: Callable[[Node], None]) -> bytes:
    """The bytes of an HDF5 file.

    Args:
        fill: writes into the open file; attribute `complete` is set after it.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=SEAL_BYTES) as file:
        fill(file)
        file.flush()
        file.attrs["complete"] = True
    body = buffer.getbuffer()[SEAL_BYTES:]
    return _seal(body) + body


@contextmanager
def open_sealed(path: Path) -> Generator[Node]:
    """Open a sealed file for reading; no lock is taken, for the content is read first.

    Raises:
        ResultsError: if the file is missing, unreadable, foreign, cut short or damaged.
    """
    try:
        with path.open("rb") as file:
            seal = file.read(SEAL_BYTES)
            body = file.read() if seal.startswith(_SEAL_START) else b""
    except OSError as error:
        raise ResultsError(f"{path} cannot be read: {error.strerror or error}") from error
    if not seal.startswith(_SEAL_START):
        raise ResultsError(f"{path} {_nature(seal)}")
    if seal != _seal(body):
        raise ResultsError(f"{path} is damaged or cut short: it does not match its checksum")
    try:
        opened = h5py.File(io.BytesIO(seal + body), "r")
    except OSError as error:
        raise ResultsError(f"{path} is sealed, but holds no HDF5: {error}") from error
    with opened:
        yield opened


def _seal(body: bytes | memoryview) -> bytes:
    digest = hashlib.sha256(body).hexdigest().encode()
    return (_SEAL_START + digest + b"\n").ljust(SEAL_BYTES, b"\0")


def _nature(start: bytes) -> str:
    if not start:
        return "is empty"
    if start.startswith(_HDF5_START):
        return "is an HDF5 file, but not one of this project"
    return "is cut short or no HDF5 file of this project"


def write_array(parent: Node, name: str, values: np.ndarray) -> None:
    """A data set; larger ones are compressed without loss."""
    options: dict[str, Any] = {}
    if values.nbytes >= _COMPRESS_FROM_BYTES:
        options = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    parent.create_dataset(name, data=values, **options)


def write_strings(parent: Node, name: str, values: list[str]) -> None:
    """A one-dimensional data set of UTF-8 strings."""
    parent.create_dataset(name, data=values, shape=(len(values),), dtype=_TEXT)


def write_string(parent: Node, name: str, value: str) -> None:
    """A scalar data set with one UTF-8 string."""
    parent.create_dataset(name, data=value, dtype=_TEXT)


def write_attributes(parent: Node, name: str, values: dict[str, Any]) -> None:
    """A group that has nothing but attributes."""
    parent.create_group(name).attrs.update(values)


def read_array(parent: Node, name: str) -> np.ndarray:
    """All of a data set."""
    return np.asarray(parent[name][()])


def read_strings(parent: Node, name: str) -> list[str]:
    """All of a data set of strings."""
    return [str(value) for value in parent[name].asstr()[()]]


def read_string(parent: Node, name: str) -> str:
    """A scalar data set with one string."""
    return str(parent[name].asstr()[()])


def read_attributes(node: Node) -> dict[str, Any]:
    """All attributes, numbers as Python's own."""
    return {
        str(name): value.item() if isinstance(value, np.generic) else value
        for name, value in node.attrs.items()
    }


def names(node: Node) -> list[str]:
    """What is in a group."""
    return [str(name) for name in node]
