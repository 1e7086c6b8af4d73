"""The loader that fits a data set: on the device if it is small, otherwise by worker processes."""

import os

import torch

from lico.config import Data
from lico.data.loading import BatchLoader
from lico.data.packed.images import PackedImages
from lico.data.resident import ResidentLoader
from lico.data.sample import ImageData

MOST_WORKERS = 16
RESIDENT_BYTES = 1 << 30  # of pixels that may live on the device


def training_batches(
    data: ImageData,
    settings: Data,
    *,
    batch_size: int,
    seed: int,
    paired_views: bool = False,
    device: torch.device | None = None,
    rank: int = 0,
    world_size: int = 1,
    processes_here: int = 1,
) -> BatchLoader | ResidentLoader:
    """Batches of the training split, as the settings say.

    Args:
        data: the training split of the data set that `settings` name.
        settings: size, augmentation and workers.
        batch_size: images a batch, of all processes together.
        seed: of order and augmentation.
        paired_views: also give the plain images and crops of them (CGC).
        device: where batches go; the CPU unless given.
        rank: which contiguous part of each batch this process takes.
        world_size: processes that share a batch.
        processes_here: those of them on this machine, which share its cores.

    Raises:
        ValueError: if a batch has fewer images than there are processes.
    """
    low, high = settings.crop_scale
    augment = settings.augmentation == "crop_flip"
    pixels = data.all_pixels(RESIDENT_BYTES) if isinstance(data, PackedImages) else None
    if pixels is not None:
        return ResidentLoader(
            pixels,
            data.labels,
            data.mean,
            data.std,
            size=settings.image_size,
            batch_size=batch_size,
            seed=seed,
            augment=augment,
            crop_scale=(low, high),
            paired_views=paired_views,
            device=device,
            rank=rank,
            world_size=world_size,
        )
    return BatchLoader(
        data,
        size=settings.image_size,
        batch_size=batch_size,
        seed=seed,
        augment=augment,
        crop_scale=(low, high),
        paired_views=paired_views,
        workers=_workers(settings, processes_here),
        device=device,
        rank=rank,
        world_size=world_size,
    )


def _workers(settings: Data, processes_here: int) -> int:
    """What the settings say, or the cores that the training process leaves; none for scenes."""
    if settings.workers is not None:
        return settings.workers
    if settings.name == "scenes":
        return 0
    return max(0, min(MOST_WORKERS, len(os.sched_getaffinity(0)) // processes_here - 1))
