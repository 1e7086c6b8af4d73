"""Training pictures a second and core: a packed file over torchvision's ImageFolder with Pillow."""

import resource
import time
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Any

from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.pictures import Pictures, pictures, usual_views
from lico.data.loading import BatchLoader
from lico.data.packed.images import PackedImages

COUNT, BATCH, SIZE, EPOCHS = 384, 64, 224, 3
MAX_SIDE = 320
UNIT = "pictures/s of CPU"
FOLDER = "ImageFolder, Pillow, RandomResizedCrop, flip, ToTensor, Normalize, DataLoader"

Epoch = Callable[[], Iterable[object]]


def benchmark(setting: Setting) -> Iterator[Figure]:
    """The original bytes, and images that packing made smaller; loaded by a worker or in the run.

    With a worker, pictures leave it as 8 bits and are normalised on the device, which is not
    counted; in the run itself everything is. CPU seconds of all processes count, so that other
    work on the machine does not.
    """
    for name, side in (("original", None), (f"max-side-{MAX_SIDE}", MAX_SIDE)):
        with pictures(COUNT, max_side=side) as made:
            for workers in (1, 0):
                place = "worker" if workers else "in-run"
                rates: list[tuple[float, float]] = []
                while len(rates) < setting.rounds:
                    rates.append(_rates(made, workers))
                    setting.told(len(rates), setting.rounds)
                yield _figure(f"packed/{name}/{place}", rates)


def _rates(made: Pictures, workers: int) -> tuple[float, float]:
    """Pictures a CPU second of the packed file and of the folders."""
    data = PackedImages(made.packed, "train")
    loader = BatchLoader(
        data, size=SIZE, batch_size=BATCH, seed=0, augment=True, crop_scale=(0.08, 1.0),
        workers=workers,
    )  # fmt: skip
    folder = ImageFolder(str(made.folders), usual_views(SIZE, data.mean, data.std))
    theirs = DataLoader(
        folder, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    loader.sampler.start(0, 0)
    ours: Epoch = (lambda: loader.loader) if workers else (lambda: loader.epoch(0))
    packed = COUNT * EPOCHS / _cpu_seconds(ours, loader.loader)
    return packed, COUNT * EPOCHS / _cpu_seconds(lambda: theirs, theirs)


def _cpu_seconds(epoch: Epoch, loader: DataLoader[Any]) -> float:
    """Of this process and of the workers, whose time counts when they have ended."""
    before = time.process_time() + _of_children()
    for _ in range(EPOCHS):
        for _ in epoch():
            pass
    if loader.num_workers:
        persistent: Any = loader
        persistent._iterator._shutdown_workers()  # noqa: SLF001 (no public way)
    return time.process_time() + _of_children() - before


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figure(name: str, rates: list[tuple[float, float]]) -> Figure:
    ratios = [ours / theirs for ours, theirs in rates]
    return Figure(
        name,
        median(ratios),
        "packed file",
        FOLDER,
        median(ours for ours, _ in rates),
        median(theirs for _, theirs in rates),
        UNIT,
        (min(ratios), max(ratios)),
    )
