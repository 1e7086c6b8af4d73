"""CIFAR-100 and ImageNet-S50 from small trees in their published formats."""

import csv
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import CIFAR100

from lico.data.cifar100 import Cifar100
from lico.data.imagenet_s import CLASSES, ImageNetS50
from lico.data.missing import DataMissingError

NAMES = [f"class_{index:02d}" for index in range(98)] + ["aquarium_fish", "worm"]


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A small archive with the published keys; its checksums take the place of the real ones."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (5, 3072), dtype=np.uint8)
    labels = [98, 99, 0, 1, 98]
    for name in ("train", "test"):
        content = {"data": pixels, "fine_labels": labels, "coarse_labels": [0] * 5}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": NAMES}))
    sums = {
        n: hashlib.md5((folder / n).read_bytes()).hexdigest() for n in ("train", "test", "meta")
    }
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": sums["meta"]})
    return pixels


def test_cifar_pixels_labels_and_readable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = write_cifar(tmp_path, monkeypatch)
    data = Cifar100(tmp_path, "train", 224)
    assert len(data) == 5
    assert data.class_names[98] == "aquarium fish"
    assert data.labels.tolist() == [98, 99, 0, 1, 98]
    expected = torch.from_numpy(pixels[3].reshape(3, 32, 32))
    assert torch.equal(data[3].image, expected)
    assert Cifar100(tmp_path, "val", 224)[0].image.shape == (3, 224, 224)


def test_cifar_that_is_absent_or_damaged_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataMissingError, match="lico data cifar100"):
        Cifar100(tmp_path, "train", 224)
    write_cifar(tmp_path, monkeypatch)
    (tmp_path / "cifar-100-python" / "train").write_bytes(b"damaged")
    with pytest.raises(DataMissingError, match="lico data cifar100"):
        Cifar100(tmp_path, "train", 224)


XML = """<annotation><size><width>{width}</width><height>{height}</height></size>{objects}
</annotation>"""
OBJECT = """<object><name>{name}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax>
<ymax>{3}</ymax></bndbox></object>"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """One training and one validation image a class; the first one is 500 × 375."""
    root = tmp_path / "ImageNetS50"
    with CLASSES.open() as file:
        wnids = [row["wnid"] for row in csv.DictReader(file)]
    for number, wnid in enumerate(wnids):
        size = (500, 375) if number == 0 else (40, 60)
        pixels = np.full((size[1], size[0], 3), number, dtype=np.uint8)
        for split in ("train", "validation"):
            (root / split / wnid).mkdir(parents=True)
            Image.fromarray(pixels).save(root / split / wnid / f"{split}_{number}.JPEG")
        ids = np.zeros((size[1], size[0]), dtype=np.int64)
        ids[10:20, 5:30] = number + 1
        ids[30:35, 5:30] = 1000
        ids[40:45, 5:30] = 49
        rgb = np.stack([ids % 256, ids // 256, np.zeros_like(ids)], -1).astype(np.uint8)
        (root / "validation-segmentation" / wnid).mkdir(parents=True)
        Image.fromarray(rgb).save(
            root / "validation-segmentation" / wnid / f"validation_{number}.png"
        )
    boxes = [
        ("n01443537", 170, 100, 330, 200),
        ("n01443537", 0, 0, 50, 40),
        ("n99", 200, 1, 300, 300),
    ]
    objects = "".join(OBJECT.format(*box, name=name) for name, *box in boxes)
    (root / "annotations").mkdir()
    (root / "annotations" / "validation_0.xml").write_text(
        XML.format(width=500, height=375, objects=objects)
    )
    return tmp_path


def test_imagenet_mask_ids_boxes_and_crop(tree: Path) -> None:
    data = ImageNetS50(tree, "val", 224)
    assert (len(data), data.class_names[1]) == (50, "tiger shark")
    sample = data[0]
    assert sample.image.shape == (3, 224, 224)
    assert sample.mask is not None
    assert sample.boxes.shape == (1, 4)
    # 500 × 375 → 298 × 224, crop 37 from the left; the box of another class is not counted,
    # the one at the left edge is cropped away.
    x = torch.tensor([170.0, 330.0]) * 298 / 500 - 37
    y = torch.tensor([100.0, 200.0]) * 224 / 375
    expected = torch.stack([x[0], y[0], x[1], y[1]])
    torch.testing.assert_close(sample.boxes[0], expected)


def test_imagenet_masks_tell_object_ignored_and_background(tree: Path) -> None:
    sample = ImageNetS50(tree, "val", 40)[3]  # 40 × 60: ten rows are cropped off at each end
    assert sample.mask is not None
    assert sample.mask[5, 10] == 1
    assert sample.mask[22, 10] == 255
    assert sample.mask[32, 10] == 0
    assert sample.mask[5, 35] == 0
    assert len(sample.boxes) == 0


def test_imagenet_training_images_are_whole(tree: Path) -> None:
    assert ImageNetS50(tree, "train", 224)[0].image.shape == (3, 375, 500)


def test_imagenet_squeezed_whole_for_the_adversarial_set(tree: Path) -> None:
    sample = ImageNetS50(tree, "val", 100, squeeze=True)[0]
    assert sample.image.shape == (3, 100, 100)
    expected = torch.tensor([[34, 100 / 3.75, 66, 200 / 3.75], [0, 0, 10, 40 / 3.75]])
    torch.testing.assert_close(sample.boxes, expected)


def test_what_is_missing_is_named(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match=r'no folder "ImageNetS50/train".*lico data'):
        ImageNetS50(tmp_path / "elsewhere", "train", 224)
    image = next((tree / "ImageNetS50" / "validation").glob("*/*_7.JPEG"))
    image.unlink()
    with pytest.raises(DataMissingError, match=image.parent.name):
        ImageNetS50(tree, "val", 224)


def test_a_damaged_image_is_named(tree: Path) -> None:
    image = next((tree / "ImageNetS50" / "train").glob("*/*_0.JPEG"))
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(ValueError, match=image.name):
        ImageNetS50(tree, "train", 224)[0]


def test_a_mask_of_another_size_is_named(tree: Path) -> None:
    mask = next((tree / "ImageNetS50" / "validation-segmentation").glob("*/*_2.png"))
    Image.new("RGB", (10, 10)).save(mask)
    with pytest.raises(ValueError, match="10×10"):
        ImageNetS50(tree, "val", 224)[2]
