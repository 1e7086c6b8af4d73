"""Small trees in the published formats, and packs of them."""

import csv
import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR100

from lico.data.imagenet import Places, imagenet_s
from lico.data.imagenet_lists import CLASSES_50
from lico.data.packed.write import PackReport, write_pack

FISH = "n01443537"
CIFAR_NAMES = [f"class_{index:02d}" for index in range(98)] + ["aquarium_fish", "worm"]
CIFAR_LABELS = [98, 99, 0, 1, 98]
XML = """<annotation><size><width>{width}</width><height>{height}</height></size>{objects}
</annotation>"""
BOX = """<object><name>{name}</name><bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax>
<ymax>{3}</ymax></bndbox></object>"""


def wnids_of_50() -> list[str]:
    with CLASSES_50.open() as file:
        return [row["wnid"] for row in csv.DictReader(file)]


def picture(height: int, width: int, seed: int = 0, noise: int = 8) -> np.ndarray:
    """Smooth colours with some noise, as photographs are."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = smooth.astype(np.int64) + random.integers(-noise, noise + 1, smooth.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def encoded(pixels: np.ndarray, kind: str = "JPEG", mode: str | None = None) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(out, kind)
    return out.getvalue()


def id_mask(label: int, height: int, width: int) -> np.ndarray:
    """The class at rows 10–19, ignored at 30–34, another class at 40–44; columns 5–29."""
    ids = np.zeros((height, width), dtype=np.int64)
    ids[10:20, 5:30] = label + 1
    ids[30:35, 5:30] = 1000
    ids[40:45, 5:30] = 49
    return np.stack([ids % 256, ids // 256, np.zeros_like(ids)], -1).astype(np.uint8)


def write_xml(path: Path, boxes: list[tuple[object, ...]], width: int, height: int) -> None:
    objects = "".join(BOX.format(*box, name=name) for name, *box in boxes)
    path.write_text(XML.format(width=width, height=height, objects=objects))


def write_imagenet_s50(root: Path) -> Path:
    """One training and one validation image a class in the official layout; the first 500 × 375."""
    tree = root / "ImageNetS50"
    for number, wnid in enumerate(wnids_of_50()):
        height, width = (375, 500) if number == 0 else (60, 40)
        for split in ("train", "validation"):
            (tree / split / wnid).mkdir(parents=True)
            path = tree / split / wnid / f"{split}_{number}.JPEG"
            path.write_bytes(encoded(picture(height, width, number)))
        (tree / "validation-segmentation" / wnid).mkdir(parents=True)
        mask = encoded(id_mask(number, height, width), "PNG")
        (tree / "validation-segmentation" / wnid / f"validation_{number}.png").write_bytes(mask)
    (tree / "annotations").mkdir()
    boxes = [(FISH, 170, 100, 330, 200), (FISH, 0, 0, 50, 40), ("n99", 200, 1, 300, 300)]
    write_xml(tree / "annotations" / "validation_0.xml", boxes, 500, 375)  # type: ignore[arg-type]
    return tree


def pack_imagenet_s50(root: Path, **options: int | None) -> PackReport:
    return write_pack(imagenet_s(50, Places(root)), root / "imagenet_s50.h5", **options)  # type: ignore[arg-type]


def cifar_files() -> tuple[dict[str, bytes], np.ndarray]:
    """A small archive's files with the published keys, and the pixels of both splits."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3072), dtype=np.uint8)
    content = {b"data": pixels, b"fine_labels": CIFAR_LABELS, b"coarse_labels": [0] * 5}
    files = {name: pickle.dumps(content, protocol=2) for name in ("train", "test")}
    return files | {"meta": pickle.dumps({"fine_label_names": CIFAR_NAMES})}, pixels


def expect_cifar(files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the checksums of small files in the place of the published ones."""
    sums = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": sums["meta"]})


def write_cifar_folder(root: Path, files: dict[str, bytes]) -> Path:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def write_cifar_archive(
    root: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> Path:
    path = root / "cifar-100-python.tar.gz"
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name if "/" in name else f"cifar-100-python/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(CIFAR100, "tgz_md5", hashlib.md5(path.read_bytes()).hexdigest())
    return path
