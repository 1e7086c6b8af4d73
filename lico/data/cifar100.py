"""CIFAR-100 from its published archive: 50,000 + 10,000 pictures of 32 × 32 pixels, 100 classes."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.datasets import CIFAR100
from torchvision.datasets.utils import download_url

from lico.data.missing import DataMissingError
from lico.data.sample import Split
from lico.data.source import ArraySplit, Source

ARCHIVE = CIFAR100.filename
FOLDER = CIFAR100.base_folder
MEAN, STD = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)
COUNTS: dict[Split, int] = {"train": 50_000, "val": 10_000}
SIDE = 32
PLAIN = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}


def cifar100(root: Path, *, download: bool = False) -> Source:
    """CIFAR-100 from the folder or the archive below `root`.

    Class names come from the data set's own list by label id, with spaces for underscores.

    Args:
        root: folder with `cifar-100-python/` or `cifar-100-python.tar.gz`.
        download: fetch the archive if neither is there.

    Raises:
        DataMissingError: if neither is there, or fetching fails.
        ValueError: if a checksum is wrong, the archive holds what it should not, or the content
            is not CIFAR-100's.
    """
    folder = next((f for f in (root / FOLDER, root) if (f / "meta").is_file()), None)
    content = _from_folder(folder) if folder else _from_archive(root, download=download)
    names = [str(name) for name in _field(content["meta"], "fine_label_names")]
    return Source(
        "cifar100",
        [name.replace("_", " ") for name in names],
        names,
        {"train": _split(content, "train"), "val": _split(content, "val")},
        mean=MEAN,
        std=STD,
        origin=str(folder or root / ARCHIVE),
    )


def _checksums() -> dict[str, str]:
    """File → MD5, as torchvision has them."""
    meta = [str(CIFAR100.meta["filename"]), str(CIFAR100.meta["md5"])]
    return {name: md5 for name, md5 in (*CIFAR100.train_list, *CIFAR100.test_list, meta)}  # noqa: C416


def _from_folder(folder: Path) -> dict[str, Any]:
    files: dict[str, bytes] = {}
    for name in _checksums():
        path = folder / name
        if not path.is_file():
            raise DataMissingError("cifar100", folder, f'file "{name}"')
        files[name] = path.read_bytes()
    return _checked(files, folder)


def _from_archive(root: Path, *, download: bool) -> dict[str, Any]:
    path = root / ARCHIVE
    if not path.is_file():
        if not download:
            raise DataMissingError("cifar100", root, f'folder "{FOLDER}" nor "{ARCHIVE}"')
        _download(root)
    content = path.read_bytes()
    if _md5(content) != CIFAR100.tgz_md5:
        raise ValueError(
            f"{path} has the MD5 {_md5(content)}, the published archive {CIFAR100.tgz_md5}; "
            'remove it and run "lico data cifar100" to fetch it'
        )
    return _checked(_unpacked(content, path), path)


def _download(root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        download_url(CIFAR100.url, str(root), ARCHIVE, CIFAR100.tgz_md5)
    except (OSError, RuntimeError) as error:
        raise DataMissingError(
            "cifar100", root, f'folder "{FOLDER}", and fetching {CIFAR100.url} failed ({error}); '
            f'on a machine without network copy "{ARCHIVE}" there; it has no file of that name'
        ) from error  # fmt: skip


def _unpacked(content: bytes, path: Path) -> dict[str, bytes]:
    """The files of the archive, in memory; nothing is written, so nothing can climb out."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                parts = Path(member.name).parts
                if Path(member.name).is_absolute() or ".." in parts or member.issym():
                    raise ValueError(f"{path} holds {member.name!r}, which climbs out of it")
                if member.isfile() and (file := archive.extractfile(member)) is not None:
                    files[parts[-1]] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path} is no whole tar archive: {error}") from error
    if missing := set(_checksums()) - set(files):
        raise ValueError(f"{path} has no {', '.join(sorted(missing))}")
    return files


def _checked(files: dict[str, bytes], place: Path) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, expected in _checksums().items():
        if (found := _md5(files[name])) != expected:
            raise ValueError(
                f"{place / name} has the MD5 {found}, the published file {expected}; remove "
                f'{place} and run "lico data cifar100" to fetch it'
            )
        content[name] = _PlainUnpickler(io.BytesIO(files[name]), encoding="bytes").load()
    return content


def _split(content: dict[str, Any], split: Split) -> ArraySplit:
    raw = content["train" if split == "train" else "test"]
    pixels = np.asarray(_field(raw, "data"), dtype=np.uint8)
    labels = np.asarray(_field(raw, "fine_labels"), dtype=np.int64)
    classes = len(_field(content["meta"], "fine_label_names"))
    if pixels.shape != (len(labels), 3 * SIDE * SIDE) or not len(labels):
        raise ValueError(f"CIFAR-100 {split} has data {pixels.shape} for {len(labels)} labels")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"CIFAR-100 {split} has labels outside 0 to {classes - 1}")
    images = pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    names = [f"{split}/{index:05d}" for index in range(len(labels))]
    return ArraySplit(np.ascontiguousarray(images), labels, names, COUNTS[split])


def _field(content: Any, name: str) -> Any:
    """An entry of a pickle of Python 2, whose keys and strings may be bytes."""
    known: dict[Any, Any] = content if isinstance(content, dict) else {}
    for key in (name, name.encode()):
        if key in known:
            values = known[key]
            if isinstance(values, list):
                return [v.decode() if isinstance(v, bytes) else v for v in values]
            return values
    raise ValueError(f"a CIFAR-100 file has no {name!r}")


class _PlainUnpickler(pickle.Unpickler):
    """Loads arrays and plain Python values, and runs nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in {"numpy.core.multiarray", "numpy._core.multiarray"}:
            return np.zeros(0).__reduce__()[0]  # the same function, whatever this numpy calls it
        if (module, name) in PLAIN:
            return super().find_class(module, name)
        raise ValueError(f"a CIFAR-100 file would run {module}.{name}; it is not the published one")


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
