"""Pictures with the statistics of photographs, in class folders and packed."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from torchvision import transforms

from lico.data.packed.write import write_pack
from lico.data.source import FileSplit, ImageFile, Source, image_files

CLASSES = 4
SHAPES = ((375, 500), (375, 500), (500, 375))  # ImageNet's commonest
QUALITY = 90  # gives about 110 kB a picture, ImageNet's mean


@dataclass(frozen=True)
class Pictures:
    """The same JPEG files as class folders and as a packed file."""

    folders: Path
    packed: Path

    def source(self) -> Source:
        """What the packed file was made of."""
        classes = [f"class_{index}" for index in range(CLASSES)]
        files = [
            ImageFile(path, label, f"{name}/{path.stem}")
            for label, name in enumerate(classes)
            for path in image_files(self.folders / name)
        ]
        return Source("pictures", classes, classes, {"train": FileSplit(files)})


@contextmanager
def pictures(count: int, *, max_side: int | None = None) -> Generator[Pictures]:
    """Make the pictures, and remove them afterwards."""
    with TemporaryDirectory() as folder:
        made = Pictures(Path(folder) / "folders", Path(folder) / "pictures.h5")
        random = np.random.default_rng(0)
        for index in range(count):
            place = made.folders / f"class_{index % CLASSES}"
            place.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(photograph(*SHAPES[index % len(SHAPES)], random))
            image.save(place / f"{index}.jpg", quality=QUALITY)
        write_pack(made.source(), made.packed, max_side=max_side)
        yield made


def usual_views(
    size: int, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> transforms.Compose:
    """What torchvision's examples train on: Pillow images to normalised crops."""
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


def photograph(height: int, width: int, random: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls with frequency as in photographs, mostly of brightness."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(rows, columns), 1 / max(height, width)) ** 1.1
    phases = np.exp(2j * np.pi * random.random((3, *amplitude.shape)))
    channels = np.fft.irfft2(amplitude * phases, (height, width)).transpose(1, 2, 0)
    mixed = channels[:, :, :1] + 0.3 * channels
    return np.clip(mixed / mixed.std() * 55 + 115, 0, 255).astype(np.uint8)
