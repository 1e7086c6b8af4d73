"""Packing over decoding every file with Pillow; the first batch over that of an ImageFolder."""

from collections.abc import Iterator
from pathlib import Path

from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import Way, compared, interleaved
from lico.benchmarks.pictures import Pictures, pictures, usual_views
from lico.data.loading import BatchLoader
from lico.data.packed.images import PackedImages
from lico.data.packed.write import write_pack
from lico.data.source import IMAGENET_MEAN, IMAGENET_STD

COUNT, BATCH, SIZE = 384, 64, 224


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Seconds to pack, with checks and checksums; seconds from nothing to the first batch."""
    with pictures(COUNT) as made:
        target = made.packed.with_name("again.h5")
        packing: dict[str, Way] = {
            "pack": lambda: write_pack(made.source(), target, threads=setting.threads),
            "decode": lambda: _decode_all(made.folders),
        }
        words = (
            f"packing {COUNT} JPEGs, {setting.threads} threads",
            "decoding them with Pillow, one thread",
        )
        yield compared("packing/jpeg", interleaved(packing, setting), "pack", "decode", words)
        first: dict[str, Way] = {
            "packed": lambda: _packed_first(made),
            "folder": lambda: _folder_first(made),
        }
        words = "opening a packed file, first batch", "listing an ImageFolder, first batch"
        yield compared(
            "packing/first-batch", interleaved(first, setting), "packed", "folder", words
        )


def _decode_all(folder: Path) -> int:
    return sum(image.width for image, _ in ImageFolder(str(folder)))


def _packed_first(made: Pictures) -> object:
    loader = BatchLoader(
        PackedImages(made.packed, "train"), size=SIZE, batch_size=BATCH, seed=0, augment=True,
        crop_scale=(0.08, 1.0),
    )  # fmt: skip
    return next(loader.epoch(0))


def _folder_first(made: Pictures) -> object:
    cut = usual_views(SIZE, IMAGENET_MEAN, IMAGENET_STD)
    return next(iter(DataLoader(ImageFolder(str(made.folders), cut), BATCH, shuffle=True)))
