"""Read a packed data set: its tables into memory, its images one by one from any process."""

import hashlib
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Int64

from lico.data.packed.layout import (
    FORMAT,
    VERSION,
    Node,
    PackError,
    array_checksum,
    checksum,
    fingerprint,
    h5py,
    text_checksum,
)
from lico.data.sample import Split

BLOCK = 1 << 24  # bytes read at a time to check them


@dataclass(frozen=True)
class Extents:
    """Where a data set's bytes lie in the file: pieces of equal size, or one piece.

    Attributes:
        offsets: of the pieces in the file.
        piece: bytes a piece.
        length: of the data set in bytes.
    """

    offsets: Int64[np.ndarray, " pieces"]
    piece: int
    length: int


@dataclass(frozen=True)
class SplitTables:
    """All of a split but its images and masks.

    Attributes:
        labels: class indices.
        ids: UTF-8.
        sizes: height and width of each image.
        boxes: of all images, one after another; None where the data set has none.
        boxes_start: index of each image's first box, and the end.
        files: where image files lie, or `pixels` where arrays do.
        files_start: of each image in `files`, and the end.
        masks: where masks lie; None where the data set has none.
        masks_start: of each mask, and the end.
    """

    labels: Int64[np.ndarray, " images"]
    ids: np.ndarray
    sizes: Int32[np.ndarray, "images 2"]
    boxes: Float32[np.ndarray, "boxes 4"] | None
    boxes_start: Int64[np.ndarray, " ends"] | None
    files: Extents | None
    files_start: Int64[np.ndarray, " ends"] | None
    pixels: Extents | None
    masks: Extents | None
    masks_start: Int64[np.ndarray, " ends"] | None


@dataclass(frozen=True)
class PackHeader:
    """What a packed file says of itself."""

    name: str
    fingerprint: str
    class_names: list[str]
    class_ids: list[str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    splits: list[str]
    problems: list[str]


def read_header(path: Path) -> PackHeader:
    """Names, statistics and fingerprint.

    Raises:
        PackError: if the file is missing, not whole or not a packed data set.
    """
    with open_pack(path) as file:
        mean, std = (tuple(float(x) for x in file[name][()]) for name in ("mean", "std"))
        return PackHeader(
            str(file.attrs["name"]),
            str(file.attrs["fingerprint"]),
            _texts(file["class_names"]),
            _texts(file["class_ids"]),
            mean,  # pyright: ignore[reportArgumentType]
            std,  # pyright: ignore[reportArgumentType]
            [name for name, node in file.items() if isinstance(node, h5py.Group)],
            _texts(file["problems"]),
        )


def read_tables(path: Path, split: Split) -> SplitTables:
    """One split's tables.

    Raises:
        PackError: as `read_header`; or if it has no such split.
    """
    with open_pack(path) as file:
        if split not in file:
            raise PackError(f"{path} has no split {split!r}")
        group = file[split]

        def array(name: str) -> np.ndarray | None:
            return group[name][()] if name in group else None

        def extents(name: str) -> Extents | None:
            return _extents(group[name], path) if name in group else None

        tables = SplitTables(
            group["label"][()], group["id"][()], group["size"][()],
            array("boxes"), array("boxes_start"),
            extents("files"), array("files_start"),
            extents("pixels"), extents("masks"), array("masks_start"),
        )  # fmt: skip
    _require_consistent(tables, path)
    return tables


@contextmanager
def open_pack(path: Path) -> Generator[Node]:
    """Open a packed file for reading, without a lock, so that NFS and Lustre do not matter.

    Raises:
        PackError: if it is missing, unreadable, foreign, not whole, or of another version.
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except FileNotFoundError as error:
        raise PackError(f"there is no packed data set {path}") from error
    except OSError as error:
        raise PackError(
            f"{path} is cut short, damaged or no HDF5 file ({error}); {_AGAIN}"
        ) from error
    with file:
        found = str(file.attrs.get("format", "nothing"))
        if found != FORMAT:
            raise PackError(f"{path} is no packed data set: its format is {found}, not {FORMAT}")
        if int(file.attrs.get("version", 0)) != VERSION:
            raise PackError(
                f"{path} has version {file.attrs.get('version')} of {FORMAT}, this program reads "
                f"version {VERSION}; {_AGAIN}"
            )
        if not file.attrs.get("complete", False):
            raise PackError(f"{path} is not whole: packing it was interrupted; {_AGAIN}")
        if file.attrs.get("fingerprint") != fingerprint(_manifest(file)):
            raise PackError(
                f"{path} is damaged: its fingerprint is not that of its content; {_AGAIN}"
            )
        yield file


_AGAIN = 'pack it again with "lico data NAME"'


class ByteReader:
    """Reads pieces of a file; every process has a handle of its own, no read moves another's."""

    def __init__(self, path: Path) -> None:
        """Remember which file it is; tables read after this are those of its content."""
        self.path = path
        self._mark = _mark(path.stat()) if path.is_file() else None
        self._handle: tuple[int, int] | None = None

    def read(self, extents: Extents, start: int, stop: int) -> bytes:
        """Bytes [start, stop) of a data set.

        Raises:
            PackError: if the file has gone, or is shorter than it was.
        """
        parts: list[bytes] = []
        while start < stop:
            piece, offset = divmod(start, extents.piece)
            count = min(stop - start, extents.piece - offset)
            parts.append(self._read_at(int(extents.offsets[piece]) + offset, count))
            start += count
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_at(self, offset: int, count: int) -> bytes:
        try:
            content = os.pread(self._descriptor(), count, offset)
        except OSError as error:
            raise PackError(f"{self.path} cannot be read: {error.strerror or error}") from error
        if len(content) != count:
            raise PackError(f"{self.path} has become shorter while it was read; {_AGAIN}")
        return content

    def _descriptor(self) -> int:
        process = os.getpid()
        if self._handle is None or self._handle[0] != process:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            self._handle = (process, descriptor)
            if _mark(os.fstat(descriptor)) != self._mark:
                raise PackError(f"{self.path} has been packed anew meanwhile; start again")
        return self._handle[1]

    def __getstate__(self) -> dict[str, object]:
        return {"path": self.path, "_mark": self._mark, "_handle": None}

    def __del__(self) -> None:
        if self._handle is not None and self._handle[0] == os.getpid():
            os.close(self._handle[1])


def _mark(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def verify_pack(path: Path, on_progress: Callable[[int, int], None] | None = None) -> str:
    """Compare all content with its checksums; the fingerprint.

    Args:
        path: of the packed file.
        on_progress: called with (bytes done, bytes in all).

    Raises:
        PackError: naming what is damaged.
    """
    report = on_progress or (lambda _done, _all: None)
    with open_pack(path) as file:
        manifest = _manifest(file)
        whole = sum(file[name].nbytes for name in manifest if name in file)
        done = 0
        for name, expected in manifest.items():
            if name not in file or _recomputed(file[name]) != expected:
                raise PackError(f"{path} is damaged: {name} is not what was packed; {_AGAIN}")
            done += file[name].nbytes
            report(done, whole)
        return str(file.attrs["fingerprint"])


def _recomputed(node: Node) -> str:
    if node.dtype.kind in "OS":
        values = node[()]
        return text_checksum([bytes(value).decode(errors="replace") for value in values])
    if node.nbytes <= BLOCK:
        return array_checksum(node[()])
    digest = hashlib.sha256()
    rows = max(1, BLOCK // (node.nbytes // node.shape[0] or 1))
    for start in range(0, node.shape[0], rows):
        block = node[start : start + rows]
        digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).data)
    return checksum(digest, node.dtype.str[1:], list(node.shape))


def _manifest(file: Node) -> dict[str, str]:
    try:
        return json.loads(file["manifest"].asstr()[()])
    except (KeyError, ValueError) as error:
        raise PackError(f"{file.filename} is damaged: it has no manifest; {_AGAIN}") from error


def _texts(node: Node) -> list[str]:
    return [str(value) for value in node.asstr()[()]]


def _extents(node: Node, path: Path) -> Extents:
    length = int(node.nbytes)
    if node.chunks is None:
        offset = node.id.get_offset() or 0
        return Extents(np.array([offset], np.int64), max(length, 1), length)
    if node.compression is not None:
        raise PackError(f"{path} has compressed {node.name}; {_AGAIN}")
    piece = int(np.prod(node.chunks)) * node.dtype.itemsize
    offsets = np.zeros(-(-length // piece), np.int64)

    def note(chunk: Node) -> None:
        offsets[chunk.chunk_offset[0] // node.chunks[0]] = chunk.byte_offset

    node.id.chunk_iter(note)
    return Extents(offsets, piece, length)


def _require_consistent(tables: SplitTables, path: Path) -> None:
    count = len(tables.labels)
    right = len(tables.ids) == len(tables.sizes) == count
    for starts, end in (
        (tables.files_start, tables.files.length if tables.files else 0),
        (tables.masks_start, tables.masks.length if tables.masks else 0),
        (tables.boxes_start, len(tables.boxes) if tables.boxes is not None else 0),
    ):
        if starts is not None:
            right &= len(starts) == count + 1 and starts[0] == 0 and int(starts[-1]) == end
            right &= bool((np.diff(starts) >= 0).all())
    if not right or (tables.files is None) == (tables.pixels is None):
        raise PackError(f"{path} is damaged: its tables do not fit each other; {_AGAIN}")
