"""The packed file: what goes in comes out, from any process, and only a whole file is taken."""

import fcntl
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import pil_to_tensor

from lico.data.augment import CropFlip, apply_crop_flip
from lico.data.imagenet import Places, imagenet_s
from lico.data.packed import write as writing
from lico.data.packed.images import ImageLabelPairs, PackedImages
from lico.data.packed.layout import PackError
from lico.data.packed.read import read_header, verify_pack
from lico.data.packed.write import write_pack
from lico.data.source import ArraySplit, Source
from tests.data.trees import encoded, pack_imagenet_s50, picture, wnids_of_50, write_imagenet_s50


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    tree = write_imagenet_s50(folder)
    for number in range(12):  # over a megabyte, so that images lie across chunks
        content = encoded(picture(400, 600, number, noise=80))
        (tree / "train" / wnids_of_50()[number] / f"large_{number}.JPEG").write_bytes(content)
    pack_imagenet_s50(folder)
    return folder


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(root / "imagenet_s50.h5", tmp_path))


def test_every_byte_comes_out_in_any_order(root: Path) -> None:
    data = PackedImages(root / "imagenet_s50.h5", "train")
    theirs = ImageFolder(str(root / "ImageNetS50" / "train"))
    assert sum(len(data.file_content(index)) for index in range(len(data))) > 1 << 20
    assert len(data) == len(theirs) == 62
    order = np.random.default_rng(0).permutation(len(data)).tolist()
    for index in order:
        path, label = theirs.samples[index]
        assert data.file_content(index) == Path(path).read_bytes()
        assert data[index].label == label
        assert torch.equal(data[index].image, pil_to_tensor(theirs[index][0]))
        assert data.image_size(index) == tuple(data[index].image.shape[1:])
    assert torch.equal(data.labels, torch.tensor(theirs.targets))


def test_the_file_is_plain_hdf5(root: Path) -> None:
    """As docs/data.md has it, with h5py alone."""
    with h5py.File(root / "imagenet_s50.h5") as file:
        assert (file.attrs["format"], file.attrs["version"]) == ("lico-pack", 1)
        start, stop = file["train/files_start"][3:5]
        content = file["train/files"][start:stop].tobytes()
        assert file["val/id"].asstr()[0] == "n01443537/validation_0"
    assert content == PackedImages(root / "imagenet_s50.h5", "train").file_content(3)


def test_many_processes_read_at_once(root: Path) -> None:
    data = PackedImages(root / "imagenet_s50.h5", "train")
    whole = [data.file_content(index) for index in range(len(data))]  # opened before the fork
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.map(data.file_content, range(len(data)), chunksize=5) == whole
    elsewhere = pickle.loads(pickle.dumps(data))  # noqa: S301 (as a spawned worker gets it)
    assert [elsewhere.file_content(index) for index in range(len(data))] == whole


def test_no_lock_is_needed_or_taken(copy: Path) -> None:
    """On NFS and Lustre locks may be unavailable, or held by a node that is gone."""
    with copy.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert len(PackedImages(copy, "val")[0].boxes) == 2
        verify_pack(copy)


def test_a_file_packed_anew_is_not_read_with_old_tables(copy: Path, root: Path) -> None:
    data = PackedImages(copy, "train")
    write_pack(imagenet_s(50, Places(root)), copy)
    with pytest.raises(PackError, match="packed anew meanwhile"):
        data[0]
    assert PackedImages(copy, "train")[0].label == 0


def test_a_torch_data_set_for_anybody(root: Path) -> None:
    pairs = ImageLabelPairs(root / "imagenet_s50.h5", "val", lambda image: image[:, :8, :8] / 255)
    (images, labels) = next(iter(DataLoader(pairs, batch_size=50, num_workers=2)))
    assert images.shape == (50, 3, 8, 8)
    assert labels.tolist() == list(range(50))
    assert pickle.loads(pickle.dumps(pairs.images))[-1].label == 49  # noqa: S301
    with pytest.raises(IndexError, match="50 val images, asked for 50"):
        pairs.images[50]
    with pytest.raises(PackError, match="no split 'test'"):
        PackedImages(root / "imagenet_s50.h5", "test")  # type: ignore[arg-type]


def test_crops_are_those_of_whole_images(root: Path) -> None:
    data = PackedImages(root / "imagenet_s50.h5", "train")
    crop = CropFlip(20, 30, 40, 9, flip=True)
    assert torch.equal(data.read_crop(5, crop, 24), apply_crop_flip(data[5].image, crop, 24))


def test_the_fingerprint_is_that_of_the_content(root: Path, tmp_path: Path) -> None:
    first = read_header(root / "imagenet_s50.h5").fingerprint
    assert verify_pack(root / "imagenet_s50.h5") == first
    source = imagenet_s(50, Places(root))
    assert write_pack(source, tmp_path / "again.h5", threads=4).fingerprint == first
    path = root / "ImageNetS50" / "train" / wnids_of_50()[7] / "large_7.JPEG"
    content = path.read_bytes()
    try:
        path.write_bytes(encoded(picture(400, 600, 99)))
        changed = write_pack(source, tmp_path / "changed.h5").fingerprint
    finally:
        path.write_bytes(content)
    assert changed != first


@pytest.mark.parametrize("name", ["train/files", "val/masks", "val/boxes", "train/label", "mean"])
def test_a_changed_byte_is_found_by_name(copy: Path, name: str) -> None:
    with h5py.File(copy, "r+") as file:
        values = file[name][()]
        values.reshape(-1)[1] += 1
        file[name][...] = values
    with pytest.raises(PackError, match=f"/{name} is not what was packed"):
        verify_pack(copy)


def test_a_damaged_image_is_named(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        start, stop = file["train/files_start"][2:4]
        file["train/files"][start:stop] = 7
    data = PackedImages(copy, "train")
    with pytest.raises(PackError, match=rf"image {data.image_id(2)} .* --verify"):
        data[2]
    with pytest.raises(PackError, match="is damaged"):
        data.read_crop(2, CropFlip(0, 0, 9, 9, flip=False), 8)


def test_only_a_whole_pack_is_taken(copy: Path, tmp_path: Path) -> None:
    content = copy.read_bytes()
    bad = tmp_path / "bad.h5"
    for part in (b"", content[:100], content[: len(content) // 2], content[:-1], b"x" * 5000):
        bad.write_bytes(part)
        with pytest.raises(PackError, match="cut short, damaged or no HDF5"):
            PackedImages(bad, "train")
    with pytest.raises(PackError, match="there is no packed data set"):
        read_header(tmp_path / "absent.h5")
    with h5py.File(bad, "w") as file:
        file["x"] = 1
    with pytest.raises(PackError, match="its format is nothing"):
        read_header(bad)
    for change, words in (
        (lambda attrs: attrs.__delitem__("complete"), "packing it was interrupted"),
        (lambda attrs: attrs.__setitem__("version", 2), "version 2 of lico-pack"),
        (lambda attrs: attrs.__setitem__("fingerprint", "0" * 64), "fingerprint is not"),
    ):
        shutil.copy(copy, bad)
        with h5py.File(bad, "r+") as file:
            change(file.attrs)
        with pytest.raises(PackError, match=words):
            read_header(bad)


def test_tables_that_do_not_fit_are_refused(copy: Path) -> None:
    with h5py.File(copy, "r+") as file:
        file["train/files_start"][-1] += 5
    with pytest.raises(PackError, match="do not fit"):
        PackedImages(copy, "train")


def limited_packing(root: Path, target: Path, limit: int) -> None:
    """In a process of its own: files may not grow beyond `limit`, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    source = imagenet_s(50, Places(root))
    try:
        write_pack(source, target)
    except PackError as error:
        target.with_suffix(".said").write_text(str(error))


@pytest.mark.parametrize("limit", [1000, 300_000, 1_500_000])
def test_a_full_disk_is_said_and_leaves_nothing(root: Path, tmp_path: Path, limit: int) -> None:
    target = tmp_path / "imagenet_s50.h5"
    process = multiprocessing.get_context("fork").Process(
        target=limited_packing, args=(root, target, limit)
    )
    process.start()
    process.join(120)
    assert process.exitcode == 0  # HDF5 itself would crash
    assert [path.name for path in tmp_path.iterdir()] == ["imagenet_s50.said"]
    assert "cannot write" in target.with_suffix(".said").read_text()
    assert "--root" in target.with_suffix(".said").read_text()


def test_too_little_space_is_said_before_any_work(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(PackError, match=r"takes 0\.0 GB.*--max-side"):
        write_pack(imagenet_s(50, Places(root)), tmp_path / "x.h5")
    assert not list(tmp_path.iterdir())


def test_an_interruption_leaves_the_old_file(root: Path, copy: Path) -> None:
    before = copy.read_bytes()

    def interrupt(_split: str, done: int, _all: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_pack(imagenet_s(50, Places(root)), copy, threads=2, on_progress=interrupt)
    assert copy.read_bytes() == before
    assert list(copy.parent.iterdir()) == [copy]


def test_a_killed_packing_leaves_no_file_of_the_name(root: Path, tmp_path: Path) -> None:
    def die(_split: str, done: int, _all: int) -> None:
        if done == 60:
            os.kill(os.getpid(), signal.SIGKILL)

    def pack() -> None:
        write_pack(imagenet_s(50, Places(root)), tmp_path / "x.h5", on_progress=die)

    process = multiprocessing.get_context("fork").Process(target=pack)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not (tmp_path / "x.h5").exists()


def test_a_split_without_a_readable_image_is_an_error(tmp_path: Path) -> None:
    tree = write_imagenet_s50(tmp_path)
    for path in (tree / "validation").rglob("*.JPEG"):
        path.write_bytes(b"nothing")
    with pytest.raises(PackError, match=r"no readable val image: .*validation_"):
        pack_imagenet_s50(tmp_path)
    assert not (tmp_path / "imagenet_s50.h5").exists()


def test_arrays_of_small_images(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 6, 3), dtype=np.uint8)
    split = ArraySplit(pixels, np.arange(7) % 2, [f"å{index}" for index in range(7)])
    write_pack(Source("tiny", ["a", "b"], ["a", "b"], {"val": split}), tmp_path / "tiny.h5")
    data = PackedImages(tmp_path / "tiny.h5", "val")
    assert np.array_equal(data[4].image.numpy(), pixels[4].transpose(2, 0, 1))
    assert data.image_id(6) == "å6"
    everything = data.all_pixels(10_000)
    assert everything is not None
    assert np.array_equal(everything.numpy(), pixels)
    assert data.all_pixels(100) is None
    crop = CropFlip(1, 0, 3, 4, flip=False)
    assert torch.equal(data.read_crop(2, crop, 8), apply_crop_flip(data[2].image, crop, 8))
    with pytest.raises(PackError, match="no image files"):
        data.file_content(0)
    verify_pack(tmp_path / "tiny.h5")
