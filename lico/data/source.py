"""A data set in its usual form, before it is packed: what files there are, and what is wrong."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from lico.data.sample import Split

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGE_SUFFIXES = {".jpeg", ".jpg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"}

MaskReader = Callable[[bytes, int], UInt8[np.ndarray, "height width"]]


@dataclass(frozen=True)
class Problem:
    """Something that is missing or unreadable, and what that means.

    Attributes:
        file: which.
        what: is wrong with it.
        effect: "image left out", "box left out" or "no boxes".
    """

    file: str
    what: str
    effect: str = "image left out"

    def __str__(self) -> str:
        return f"{self.file}: {self.what} ({self.effect})"


@dataclass(frozen=True)
class ImageFile:
    """One image: its class, its name on every machine, and what belongs to it."""

    path: Path
    label: int
    name: str
    mask: Path | None = None
    boxes: Path | None = None


@dataclass(frozen=True)
class FileSplit:
    """A split that lies in files."""

    files: list[ImageFile]
    problems: list[Problem] = field(default_factory=list[Problem])
    expected: int | None = None

    def __len__(self) -> int:
        return len(self.files)


@dataclass(frozen=True)
class ArraySplit:
    """A split of small images in memory, [images, height, width, 3]."""

    pixels: UInt8[np.ndarray, "images height width 3"]
    labels: Int64[np.ndarray, " images"]
    names: list[str]
    expected: int | None = None

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Source:
    """A data set, with everything that the packed file needs to know.

    Attributes:
        name: of the data set.
        class_names: readable, by label.
        class_ids: the data set's own names of the classes, by label; boxes have them.
        splits: by name.
        mean: of the training images' channels, 0 to 1.
        std: of the training images' channels.
        read_mask: (content of a mask's file, label) → mask.
        origin: where it was read from, for the record.
    """

    name: str
    class_names: list[str]
    class_ids: list[str]
    splits: dict[Split, FileSplit | ArraySplit]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    read_mask: MaskReader | None = None
    origin: str = ""


def image_files(folder: Path) -> list[Path]:
    """The images directly in a folder, in order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
