"""Pack a data set into one HDF5 file that appears whole or not at all."""

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lico.data.packed.careful_file import CarefulFile
from lico.data.packed.examine import Ready, examined
from lico.data.packed.layout import (
    CHUNK_BYTES,
    FORMAT,
    TEXT,
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
from lico.data.source import ArraySplit, FileSplit, Problem, Source

OnProgress = Callable[[str, int, int], None]
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class PackReport:
    """What is in a packed file, and what is not.

    Attributes:
        path: of the file.
        fingerprint: of its content.
        counts: images of each split, with the published number if there is one.
        problems: everything that was left out.
    """

    path: Path
    fingerprint: str
    counts: dict[Split, tuple[int, int | None]]
    problems: list[Problem]


def write_pack(
    source: Source,
    target: Path,
    *,
    max_side: int | None = None,
    threads: int = 1,
    on_progress: OnProgress | None = None,
) -> PackReport:
    """Pack a data set; an older file of the name stays until the new one is whole.

    Images keep their bytes, unless `max_side` makes them smaller. What is unreadable is left
    out and listed, in the file too.

    Args:
        source: the data set.
        target: `<root>/<name>.h5`.
        max_side: longest side in pixels that an image keeps.
        threads: that decode images to see whether they are whole.
        on_progress: called with the split, images done, images in all.

    Raises:
        PackError: if a split has no readable image, the disk is full or the folder cannot be
            written; nothing is then left behind.
    """
    report = on_progress or (lambda _split, _done, _all: None)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _require_space(source, target.parent, shrinks=max_side is not None)
        with temporary.open("x+b", buffering=0) as file:
            careful = CarefulFile(file)
            packing = _Packing(source, max_side, threads, careful, report)
            with h5py.File(careful, "w") as node:
                packing.fill(node)
            careful.raise_error()
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        remedy = (
            "free some space there, or choose another folder with --root"
            if error.errno in FULL
            else "make the folder writable, or choose another with --root"
        )
        raise PackError(f"cannot write {target}: {error.strerror or error}; {remedy}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return PackReport(target, packing.fingerprint, packing.counts, packing.problems)


class _Packing:
    """Fills one file, split by split."""

    def __init__(
        self,
        source: Source,
        max_side: int | None,
        threads: int,
        file: CarefulFile,
        report: OnProgress,
    ) -> None:
        self.source = source
        self.max_side = max_side
        self.threads = threads
        self.file = file
        self.report = report
        self.manifest: dict[str, str] = {}
        self.counts: dict[Split, tuple[int, int | None]] = {}
        self.problems: list[Problem] = []
        self.fingerprint = ""

    def fill(self, node: Node) -> None:
        """Everything; attribute `complete` is the last."""
        node.attrs.update(format=FORMAT, version=VERSION, name=self.source.name)
        for split, content in self.source.splits.items():
            group = node.create_group(split)
            if isinstance(content, ArraySplit):
                self._fill_arrays(group, split, content)
            else:
                self._fill_files(group, split, content)
        self._texts(node, "class_names", self.source.class_names)
        self._texts(node, "class_ids", self.source.class_ids)
        self._array(node, "mean", np.array(self.source.mean, np.float64))
        self._array(node, "std", np.array(self.source.std, np.float64))
        self.fingerprint = fingerprint(self.manifest)
        node.create_dataset("manifest", data=json.dumps(self.manifest), dtype=TEXT)
        node.create_dataset("provenance", data=json.dumps(self._provenance()), dtype=TEXT)
        listed = [str(problem) for problem in self.problems]
        node.create_dataset("problems", data=listed, shape=(len(listed),), dtype=TEXT)
        node.attrs["fingerprint"] = self.fingerprint
        node.flush()
        self.file.raise_error()
        node.attrs["complete"] = True

    def _fill_arrays(self, group: Node, split: Split, content: ArraySplit) -> None:
        count, height, width, _ = content.pixels.shape
        self._array(group, "pixels", content.pixels)
        self._array(group, "label", content.labels.astype(np.int64))
        self._ids(group, content.names)
        self._array(group, "size", np.full((count, 2), (height, width), np.int32))
        self.counts[split] = (count, content.expected)
        self.report(split, count, count)

    def _fill_files(self, group: Node, split: Split, content: FileSplit) -> None:
        self.problems.extend(content.problems)
        files, masks = _Bytes(group, "files"), _Bytes(group, "masks")
        kept: list[Ready] = []
        looked = examined(content.files, self.source, self.max_side, self.threads)
        for number, each in enumerate(looked):
            self.file.raise_error()
            if isinstance(each, Problem):
                self.problems.append(each)
            else:
                self.problems.extend(each.problems)
                files.append(each.content)
                masks.append(each.mask or b"")
                kept.append(replace(each, content=b"", mask=None))
            self.report(split, number + 1, len(content.files))
        if not kept:
            found = "; ".join(str(problem) for problem in self.problems[:3]) or "no files"
            raise PackError(f"{self.source.name} has no readable {split} image: {found}")
        self._bytes(group, files)
        if masks.starts[-1]:
            self._bytes(group, masks)
        else:
            del group["masks"]
        self._array(group, "label", np.array([each.label for each in kept], np.int64))
        self._ids(group, [each.name for each in kept])
        self._array(group, "size", np.array([(e.height, e.width) for e in kept], np.int32))
        if any(len(each.boxes) for each in kept):
            self._array(group, "boxes", torch.cat([each.boxes for each in kept]).numpy())
            counts = [len(each.boxes) for each in kept]
            self._array(group, "boxes_start", np.cumsum([0, *counts]).astype(np.int64))
        self.counts[split] = (len(kept), content.expected)

    def _array(self, group: Node, name: str, values: np.ndarray) -> None:
        stored = group.create_dataset(name, data=values)
        self.manifest[stored.name] = array_checksum(values)

    def _bytes(self, group: Node, content: "_Bytes") -> None:
        self.manifest[content.node.name] = content.finish()
        self._array(group, f"{content.name}_start", np.array(content.starts, np.int64))

    def _texts(self, group: Node, name: str, values: list[str]) -> None:
        stored = group.create_dataset(name, data=values, shape=(len(values),), dtype=TEXT)
        self.manifest[stored.name] = text_checksum(values)

    def _ids(self, group: Node, values: list[str]) -> None:
        encoded = np.char.encode(np.array(values), "utf-8")
        kind = h5py.string_dtype("utf-8", encoded.dtype.itemsize)
        stored = group.create_dataset("id", data=encoded.astype(kind))
        self.manifest[stored.name] = text_checksum(values)

    def _provenance(self) -> dict[str, Any]:
        return {
            "origin": self.source.origin,
            "max_side": self.max_side,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "lico": version("lico-hpc"),
            "h5py": h5py.version.version,
            "counts": {split: count for split, (count, _) in self.counts.items()},
        }


class _Bytes:
    """A data set of bytes that grows by whole chunks."""

    def __init__(self, group: Node, name: str) -> None:
        self.name = name
        self.node = group.create_dataset(name, (0,), "u1", maxshape=(None,), chunks=(CHUNK_BYTES,))
        self.starts = [0]
        self.digest = hashlib.sha256()
        self.waiting = bytearray()

    def append(self, content: bytes) -> None:
        self.starts.append(self.starts[-1] + len(content))
        self.digest.update(content)
        self.waiting += content
        whole = len(self.waiting) // CHUNK_BYTES * CHUNK_BYTES
        if whole:
            self._write(whole)

    def finish(self) -> str:
        """Write the rest; the checksum."""
        self._write(len(self.waiting))
        return checksum(self.digest, "u1", [self.starts[-1]])

    def _write(self, count: int) -> None:
        start = self.node.shape[0]
        self.node.resize((start + count,))
        self.node[start:] = np.frombuffer(self.waiting, np.uint8, count)
        self.waiting = self.waiting[count:]


def _require_space(source: Source, folder: Path, *, shrinks: bool) -> None:
    """Say before hours of work that the disk is too small."""
    if shrinks:
        return
    files = [f for s in source.splits.values() if isinstance(s, FileSplit) for f in s.files]
    needed = sum(f.path.stat().st_size for f in files if f.path.is_file())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PackError(
            f"packing {source.name} takes {needed / 1e9:.1f} GB and {folder} has "
            f"{free / 1e9:.1f} GB free; choose another folder with --root, or make images "
            "smaller with --max-side"
        )
