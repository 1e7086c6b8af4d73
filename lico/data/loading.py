"""Training batches whose content depends on (seed, epoch, image) alone, in any process."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from lico.data.batch import Batch, PairedViews
from lico.data.order import EpochOrder, KeySampler
from lico.data.sample import ImageData
from lico.data.views import RawBatch, Views, collate

__all__ = ["Batch", "BatchLoader", "PairedViews"]


class BatchLoader:
    """The training set, epoch by epoch.

    Iterating over `epoch(k)` gives the same batches whatever came before, however many workers
    load them, so that a resumed run sees what an uninterrupted one would have seen. Of several
    processes each takes its part of every batch; all parts together are the batch.
    """

    def __init__(
        self,
        data: ImageData,
        *,
        size: int,
        batch_size: int,
        seed: int,
        augment: bool,
        crop_scale: tuple[float, float],
        paired_views: bool = False,
        workers: int = 0,
        device: torch.device | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Take the data and how to cut it.

        Args:
            data: the training split.
            size: side of the network's input in pixels.
            batch_size: images a batch, of all processes together; the last batch of an epoch
                may have fewer.
            seed: of order and augmentation.
            augment: random crops and flips; otherwise images are resized to size × size.
            crop_scale: range of a crop's share of the area.
            paired_views: also give the plain images and crops of them.
            workers: loader processes; 0 loads in this one.
            device: where batches go; the CPU unless given.
            rank: which contiguous part of each batch this process takes.
            world_size: processes that share a batch.

        Raises:
            ValueError: if a batch has fewer images than there are processes.
        """
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.device = device or torch.device("cpu")
        self.order = EpochOrder(len(data), seed, batch_size, rank, world_size)
        self.sampler = KeySampler(self.order)
        self.loader = DataLoader(
            Views(data, size, seed, crop_scale, augment=augment, paired=paired_views),
            batch_sampler=self.sampler,
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
            pin_memory=self.device.type == "cuda",
        )
        self.mean = torch.tensor(data.mean, device=self.device)[:, None, None]
        self.std = torch.tensor(data.std, device=self.device)[:, None, None]

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.order)

    def epoch(self, number: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from `first_batch` on; those before it are not loaded.

        Raises:
            ValueError: if the epoch has no such batch.
        """
        self.sampler.start(number, first_batch)
        for place, raw in enumerate(self.loader, first_batch):
            yield self._batch(raw, self.order.images_in(place))

    def _batch(self, raw: RawBatch, whole: int) -> Batch:
        indices, labels = (x.to(self.device, non_blocking=True) for x in (raw.indices, raw.labels))
        images, views = self._normalised(raw.images), None
        if raw.plain is not None and raw.cropped is not None:
            plain, cropped = self._normalised(raw.plain), self._normalised(raw.cropped)
            views = PairedViews(plain, cropped, raw.crops)
        return Batch(images, labels, views, whole, indices)

    def _normalised(self, images: Tensor) -> Tensor:
        """Colours lie side by side in memory, so whole rows of pixels are worked on at once."""
        pixels = images.to(self.device, non_blocking=True).permute(0, 2, 3, 1)
        count, height, width, _ = pixels.shape
        rows = pixels.reshape(count, height, width * 3)
        mean, std = (each.flatten().repeat(width) for each in (self.mean, self.std))
        out = torch.empty_like(rows, dtype=torch.float32)
        # On a CPU image by image, which stays in its cache from one operation to the next.
        size = 1 if self.device.type == "cpu" else max(1, count)
        for part, target in zip(rows.split(size), out.split(size), strict=True):
            torch.div(part, 255, out=target).sub_(mean).div_(std)
        return out.view(count, height, width, 3).permute(0, 3, 1, 2)
