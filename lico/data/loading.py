"""Training batches whose content depends on (seed, epoch, image) alone, in any process."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler
from torchvision.transforms.v2 import functional as F  # noqa: N812 (torchvision's own name)

from lico.data.augment import CropFlip, apply_crop_flip, random_crop_flip, view_crop_flip
from lico.data.sample import ImageData
from lico.randomness import generator, torch_generator


@dataclass(frozen=True)
class PairedViews:
    """The plain images and crops of them, for methods that compare the two.

    Attributes:
        plain: resized and centre-cropped, normalised.
        cropped: cut from `plain`, normalised.
        crops: how, in pixels of `plain`.
    """

    plain: Float[Tensor, "batch 3 size size"]
    cropped: Float[Tensor, "batch 3 size size"]
    crops: list[CropFlip]


@dataclass(frozen=True)
class Batch:
    """Normalised training images with their labels and, if asked for, paired views.

    Attributes:
        images: normalised.
        labels: class indices.
        views: paired views.
        whole: images of the whole batch, of which this is one process's part; None: not known.
        indices: which images of the data set these are; None: not known.
    """

    images: Float[Tensor, "batch 3 size size"]
    labels: Int64[Tensor, " batch"]
    views: PairedViews | None = None
    whole: int | None = None
    indices: Int64[Tensor, " batch"] | None = None


@dataclass(frozen=True)
class _Item:
    index: int
    image: UInt8[Tensor, "3 size size"]
    label: int
    plain: UInt8[Tensor, "3 size size"] | None
    cropped: UInt8[Tensor, "3 size size"] | None
    crop: CropFlip | None


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
        views = _Views(data, size, seed, crop_scale, augment=augment, paired=paired_views)
        self.order = _EpochOrder(len(data), seed, batch_size, rank, world_size)
        self.loader = DataLoader(
            views,
            batch_sampler=self.order,
            num_workers=workers,
            collate_fn=list,
            persistent_workers=workers > 0,
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
        self.order.start(number, first_batch)
        for place, items in enumerate(self.loader, first_batch):
            whole = min(self.batch_size, len(self.data) - place * self.batch_size)
            indices = torch.tensor([item.index for item in items], device=self.device)
            yield replace(self._batch(items), whole=whole, indices=indices)

    def _batch(self, items: list[_Item]) -> Batch:
        labels = torch.tensor([item.label for item in items], device=self.device)
        images = self._normalised([item.image for item in items])
        crops = [item.crop for item in items if item.crop is not None]
        if not crops:
            return Batch(images, labels)
        plain = self._normalised([i.plain for i in items if i.plain is not None])
        cropped = self._normalised([i.cropped for i in items if i.cropped is not None])
        return Batch(images, labels, PairedViews(plain, cropped, crops))

    def _normalised(self, images: list[Tensor]) -> Tensor:
        stacked = torch.stack(images).to(self.device, memory_format=torch.channels_last)
        return (stacked.float() / 255 - self.mean) / self.std


class _Views(Dataset[_Item]):
    """Cuts the views of one image; the key is (epoch, index)."""

    def __init__(
        self,
        data: ImageData,
        size: int,
        seed: int,
        scale: tuple[float, float],
        *,
        augment: bool,
        paired: bool,
    ) -> None:
        self.data = data
        self.size = size
        self.seed = seed
        self.scale = scale
        self.augment = augment
        self.paired = paired

    def __getitem__(self, key: tuple[int, int]) -> _Item:
        epoch, index = key
        sample = self.data[index]
        image = self._main_view(sample.image, epoch, index)
        if not self.paired:
            return _Item(index, image, sample.label, None, None, None)
        plain = F.center_crop(F.resize(sample.image, [self.size]), [self.size])
        crop = view_crop_flip(self.size, self.scale, self.seed, epoch, index, view=1)
        cropped = apply_crop_flip(plain, crop, self.size)
        return _Item(index, image, sample.label, plain, cropped, crop)

    def _main_view(self, image: Tensor, epoch: int, index: int) -> Tensor:
        if not self.augment:
            return F.resize(image, [self.size, self.size])
        height, width = image.shape[1:]
        random = generator("augment", self.seed, epoch, index, 0)
        return apply_crop_flip(
            image, random_crop_flip(height, width, self.scale, random), self.size
        )


class _EpochOrder(Sampler[list[tuple[int, int]]]):
    """One process's part of batches of (epoch, index), in an order drawn for each epoch."""

    def __init__(
        self, images: int, seed: int, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} is none of world_size={world_size} processes")
        smallest = min(batch_size, images % batch_size or batch_size)
        if images and smallest < world_size:
            raise ValueError(
                f"{images} images in batches of {batch_size} leave a batch of {smallest}, too few "
                f"for {world_size} processes; choose a training.batch_size whose last batch has "
                "one image for each, or fewer processes"
            )
        self.images = images
        self.seed = seed
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        return math.ceil(self.images / self.batch_size)

    def start(self, epoch: int, first_batch: int) -> None:
        """Choose what the next iteration gives."""
        if not 0 <= first_batch <= len(self):
            raise ValueError(
                f"first_batch={first_batch}, but an epoch has {len(self)} batches; the checkpoint "
                "belongs to another data set or training.batch_size"
            )
        self.epoch, self.first_batch = epoch, first_batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        random = torch_generator("order", self.seed, epoch)
        order = torch.randperm(self.images, generator=random)
        for batch in order.split(self.batch_size)[self.first_batch :]:
            part: list[int] = batch.tensor_split(self.world_size)[self.rank].tolist()
            yield [(epoch, index) for index in part]
