"""How a packed data set lies in HDF5 (docs/data.md), and the errors of such files.

One file, `<root>/<name>.h5`, format "lico-pack", version 1:

    /                    attributes: format, version, name, fingerprint, complete
    /class_names         [classes] UTF-8, readable
    /class_ids           [classes] UTF-8, the data set's own (a wnid, a folder)
    /mean, /std          [3] float64, of the channels, 0 to 1
    /manifest            JSON: the SHA-256 of every data set that is content
    /provenance          JSON: origin, options, versions, time
    /problems            [problems] UTF-8: what was left out, and why
    /<split>/label       [images] int64
    /<split>/id          [images] UTF-8 of fixed length
    /<split>/size        [images, 2] int32, height and width
    /<split>/files       [bytes] uint8: image files one after another, as they were; chunked,
                         not compressed
    /<split>/files_start [images + 1] int64
    /<split>/pixels      [images, height, width, 3] uint8, contiguous; instead of `files` where
                         all images are small and of one size
    /<split>/masks       [bytes] uint8: PNGs, 0 background, 1 object, 255 ignored; if there are any
    /<split>/masks_start [images + 1] int64
    /<split>/boxes       [boxes, 4] float32: x_min, y_min, x_max, y_max in pixels of the image,
                         of the image's class only; if there are any
    /<split>/boxes_start [images + 1] int64

The fingerprint is the SHA-256 of the manifest, so it names the content and nothing else: the
same images packed elsewhere, in another year, have the same one.
"""

import hashlib
import json
from typing import Any

import h5py as _untyped  # pyright: ignore[reportMissingTypeStubs]
import numpy as np

h5py: Any = _untyped
Node = Any  # an h5py file, group or data set

FORMAT = "lico-pack"
VERSION = 1
TEXT: Any = h5py.string_dtype()
CHUNK_BYTES = 1 << 20


class PackError(Exception):
    """A packed file cannot be written or read; the message says what to do."""


def fingerprint(manifest: dict[str, str]) -> str:
    """The SHA-256 of the checksums of all content, in order of the names."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def checksum(digest: Any, kind: str, shape: list[int]) -> str:
    """The checksum of a data set whose bytes, little-endian and in C order, are in `digest`."""
    return hashlib.sha256(digest.digest() + f"{kind}{shape}".encode()).hexdigest()


def array_checksum(values: np.ndarray) -> str:
    """The checksum of an array."""
    ordered = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    return checksum(hashlib.sha256(ordered.data), values.dtype.str[1:], list(values.shape))


def text_checksum(values: list[str]) -> str:
    """The checksum of strings."""
    joined = json.dumps(values, ensure_ascii=False).encode()
    return checksum(hashlib.sha256(joined), "text", [len(values)])
