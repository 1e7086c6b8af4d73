"""CIFAR-100 from its folder and its archive, whole, damaged and hostile."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR100

from lico.data.cifar100 import cifar100
from lico.data.missing import DataMissingError
from lico.data.packed.images import PackedImages
from lico.data.packed.write import write_pack
from lico.data.source import ArraySplit
from tests.data.trees import (
    CIFAR_LABELS,
    CIFAR_NAMES,
    cifar_files,
    expect_cifar,
    write_cifar_archive,
    write_cifar_folder,
)


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_pixels_labels_and_readable_names(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, pixels = cifar_files()
    expect_cifar(files, monkeypatch)
    if form == "folder":
        write_cifar_folder(tmp_path, files)
    else:
        write_cifar_archive(tmp_path, files, monkeypatch)
    write_pack(cifar100(tmp_path), tmp_path / "cifar100.h5")
    data = PackedImages(tmp_path / "cifar100.h5", "train")
    assert len(data) == 5
    assert data.class_names[98] == "aquarium fish"
    assert data.class_ids == CIFAR_NAMES
    assert data.labels.tolist() == CIFAR_LABELS
    assert data.image_id(3) == "train/00003"
    for index, row in enumerate(pixels):
        assert np.array_equal(data[index].image.numpy(), row.reshape(3, 32, 32))


def test_is_what_torchvision_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = cifar_files()
    files = {
        name: pickle.dumps({k.decode() if isinstance(k, bytes) else k: v for k, v in
                            pickle.loads(content).items()})  # noqa: S301
        for name, content in files.items()
    }  # fmt: skip
    expect_cifar(files, monkeypatch)
    write_cifar_folder(tmp_path, files)
    theirs = CIFAR100(str(tmp_path), train=False)
    ours = cifar100(tmp_path).splits["val"]
    assert isinstance(ours, ArraySplit)
    assert np.array_equal(ours.pixels, theirs.data)
    assert ours.labels.tolist() == theirs.targets


def test_absence_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match="lico data cifar100"):
        cifar100(tmp_path)


def test_a_file_that_is_not_the_published_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = cifar_files()
    expect_cifar(files, monkeypatch)
    folder = write_cifar_folder(tmp_path, files)
    (folder / "train").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"cifar-100-python/train has the MD5.*lico data cifar100"):
        cifar100(tmp_path)
    (folder / "test").unlink()
    with pytest.raises(DataMissingError, match='no file "test"'):
        cifar100(tmp_path)


def test_an_archive_with_a_wrong_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, _ = cifar_files()
    path = write_cifar_archive(tmp_path, files, monkeypatch)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"tar\.gz has the MD5"):
        cifar100(tmp_path)


@pytest.mark.parametrize("name", ["../../climbs", "/climbs", "cifar-100-python/../../climbs"])
def test_an_archive_that_climbs_out_writes_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = cifar_files()
    expect_cifar(files, monkeypatch)
    write_cifar_archive(tmp_path / "a" / "b", files | {name: b"x"}, monkeypatch)
    with pytest.raises(ValueError, match="climbs out"):
        cifar100(tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("climbs"))


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("hostile",)


def test_a_pickle_that_runs_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files, _ = cifar_files()
    files["train"] = pickle.dumps({"data": Hostile()})
    expect_cifar(files, monkeypatch)
    write_cifar_folder(tmp_path, files)
    with pytest.raises(ValueError, match=r"would run posix\.mkdir"):
        cifar100(tmp_path)
    assert not (tmp_path / "hostile").exists()


def test_labels_out_of_range_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, pixels = cifar_files()
    files["test"] = pickle.dumps({"data": pixels, "fine_labels": [0, 1, 2, 3, 100]})
    expect_cifar(files, monkeypatch)
    write_cifar_folder(tmp_path, files)
    with pytest.raises(ValueError, match="labels outside 0 to 99"):
        cifar100(tmp_path)
