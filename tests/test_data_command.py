"""`lico data`: packs, says what is there, what is missing, and what was left out."""

import io
from pathlib import Path

import pytest
import torchvision
from rich.console import Console

from lico import data_command as command
from lico.compose import compose_config
from lico.config import Config, Data
from lico.data import cifar100 as cifar
from lico.data.missing import DataMissingError
from lico.data.packed.layout import PackError
from lico.data.registry import load_data
from tests.data.trees import (
    cifar_files,
    expect_cifar,
    wnids_of_50,
    write_cifar_archive,
    write_cifar_folder,
    write_imagenet_s50,
)

NOTHING = command.Options()


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=300)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def settings(name: str, root: Path, *overrides: str) -> Data:
    return command.data_settings(name, list(overrides), root)


def test_packs_once_and_then_says_what_is_there(tmp_path: Path, console: Console) -> None:
    tree = write_imagenet_s50(tmp_path)
    (tree / "validation-segmentation" / wnids_of_50()[3] / "validation_3.png").unlink()
    chosen = settings("imagenet_s50", tmp_path)
    command.look(console, chosen, NOTHING)
    assert "val: 49 images (the published set has 752)" in said(console)
    assert not (tmp_path / "imagenet_s50.h5").exists()
    command.prepare(console, chosen, NOTHING)
    assert "train: 50 images (the published set has 64,431)" in said(console)
    assert "validation_3.JPEG: has no mask" in said(console)
    before = (tmp_path / "imagenet_s50.h5").stat().st_mtime_ns
    command.prepare(console, chosen, NOTHING)
    assert "is there: train 50 images, val 49 images, 50 classes" in said(console)
    assert (tmp_path / "imagenet_s50.h5").stat().st_mtime_ns == before
    command.verify(console, chosen)
    assert "is whole: fingerprint" in said(console)
    assert len(load_data(chosen, "val")) == 49
    (tmp_path / "imagenet_s50.h5").write_bytes(b"half")
    with pytest.raises(PackError, match="no HDF5"):
        load_data(chosen, "val")
    command.prepare(console, chosen, NOTHING)
    assert len(load_data(chosen, "train")) == 50


def test_steps_for_what_nobody_can_fetch(tmp_path: Path, console: Console) -> None:
    for run in (command.look, command.prepare):
        with pytest.raises(DataMissingError, match=r"no folder(.|\n)*--annotations IMAGENET_S"):
            run(console, settings("imagenet_s300", tmp_path), NOTHING)
    with pytest.raises(DataMissingError, match=r"configs/data/NAME\.yaml"):
        command.prepare(console, settings("own", tmp_path), NOTHING)


def test_cifar_is_fetched_only_when_packed(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = cifar_files()
    expect_cifar(files, monkeypatch)
    fetched: list[str] = []

    def fetch(url: str, root: str, filename: str, md5: str) -> None:
        fetched.append(url)
        write_cifar_archive(Path(root), files, monkeypatch)
        assert filename == "cifar-100-python.tar.gz"
        assert md5

    monkeypatch.setattr(cifar, "download_url", fetch)
    chosen = settings("cifar100", tmp_path / "new")
    with pytest.raises(DataMissingError):
        command.look(console, chosen, NOTHING)
    assert not fetched
    command.prepare(console, chosen, NOTHING)
    assert fetched == [torchvision.datasets.CIFAR100.url]
    assert load_data(chosen, "val")[0].image.shape == (3, 224, 224)


def test_without_network_the_file_to_copy_is_named(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(cifar, "download_url", fail)
    with pytest.raises(DataMissingError, match=r'no route to host.*"cifar-100-python\.tar\.gz"'):
        command.prepare(console, settings("cifar100", tmp_path), NOTHING)


def test_scenes_need_nothing_and_names_are_checked(tmp_path: Path, console: Console) -> None:
    command.prepare(console, settings("scenes", tmp_path), NOTHING)
    assert "embedded" in said(console)
    with pytest.raises(ValueError, match="did you mean 'imagenet_s50'"):
        settings("imagenet_s5", tmp_path)


def test_the_adversarial_set_is_derived_from_a_pack(
    tmp_path: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = cifar_files()
    expect_cifar(files, monkeypatch)
    write_cifar_folder(tmp_path, files)
    command.prepare(console, settings("cifar100", tmp_path), NOTHING)
    marker = ("data.marker.class_name='aquarium fish'", "data.marker.colour=[0,255,0]")
    chosen = settings("cifar100", tmp_path, *marker, "data.augmentation=none")
    marked, plain = load_data(chosen, "val"), load_data(settings("cifar100", tmp_path), "val")
    for index, label in enumerate(marked.labels.tolist()):
        changed = (marked[index].image != plain[index].image).any(0)
        assert changed.any() == (label == 98)
        assert not changed[6:].any()
    assert marked[0].image[:, 2, 2].tolist() == [0, 255, 0]


def test_where_data_lies_is_no_part_of_a_runs_identity() -> None:
    plain = compose_config(["data=cifar100"])
    moved = compose_config(
        ["data=cifar100", "data.root=/x", "data.stage=/tmp", "data.workers=3", "data.own.train=y"]
    )
    assert moved.hash() == plain.hash()
    birds = compose_config(["data=own", "data.own.title=birds"])
    assert (
        birds.hash()
        == compose_config(["data=own", "data.own.title=birds", "data.own.train=elsewhere"]).hash()
    )
    assert birds.hash() != compose_config(["data=own", "data.own.title=bees"]).hash()


def test_the_demos_runs_keep_their_names() -> None:
    """Adding data sets must not rename finished runs of the embedded one."""
    assert "own" not in Config().identity()["data"]
    assert set(Config().identity()["data"]) == {
        "name", "image_size", "augmentation", "crop_scale", "scenes", "marker",
    }  # fmt: skip
