"""The views of training images that a step needs, cut in a loader process."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset, default_collate
from torchvision.transforms.v2 import functional as F  # noqa: N812 (torchvision's own name)

from lico.data.augment import CropFlip, apply_crop_flip, random_crop_flip, view_crop_flip
from lico.data.sample import ImageData
from lico.randomness import generator

ENLARGED = 256 / 224  # of the plain view's shorter side over the centre crop


@runtime_checkable
class CropReader(Protocol):
    """A data set that can read a crop without giving the whole image."""

    def image_size(self, index: int) -> tuple[int, int]:
        """Height and width."""
        ...

    def read_crop(self, index: int, crop: CropFlip, size: int) -> UInt8[Tensor, "3 size size"]:
        """The crop, resized and mirrored."""
        ...


@dataclass(frozen=True)
class RawBatch:
    """Views of a batch before normalisation, as loader processes hand them over."""

    indices: Int64[Tensor, " batch"]
    images: UInt8[Tensor, "batch 3 size size"]
    labels: Int64[Tensor, " batch"]
    plain: UInt8[Tensor, "batch 3 size size"] | None
    cropped: UInt8[Tensor, "batch 3 size size"] | None
    crops: list[CropFlip]

    def pin_memory(self) -> "RawBatch":
        """The same in page-locked memory, from which a GPU copies without waiting."""
        plain, cropped = (
            None if each is None else each.pin_memory() for each in (self.plain, self.cropped)
        )
        indices, images, labels = (
            each.pin_memory() for each in (self.indices, self.images, self.labels)
        )
        return RawBatch(indices, images, labels, plain, cropped, self.crops)


@dataclass(frozen=True)
class _Item:
    index: int
    image: UInt8[Tensor, "3 size size"]
    label: int
    plain: UInt8[Tensor, "3 size size"] | None = None
    cropped: UInt8[Tensor, "3 size size"] | None = None
    crop: CropFlip | None = None


class Views(Dataset[_Item]):
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
        self.labels: list[int] = data.labels.tolist()
        self._reader: CropReader | None = None
        if augment and not paired and isinstance(data, CropReader):
            self._reader = data

    def __getitem__(self, key: tuple[int, int]) -> _Item:
        epoch, index = key
        label = self.labels[index]
        if self._reader is not None:
            crop = self._crop(*self._reader.image_size(index), epoch, index)
            return _Item(index, self._reader.read_crop(index, crop, self.size), label)
        image = self.data[index].image
        main = self._main_view(image, epoch, index)
        if not self.paired:
            return _Item(index, main, label)
        plain = plain_view(image, self.size)
        crop = view_crop_flip(self.size, self.scale, self.seed, epoch, index, view=1)
        return _Item(index, main, label, plain, apply_crop_flip(plain, crop, self.size), crop)

    def _main_view(self, image: Tensor, epoch: int, index: int) -> Tensor:
        if not self.augment:
            return F.resize(image, [self.size, self.size])
        height, width = image.shape[1:]
        return apply_crop_flip(image, self._crop(height, width, epoch, index), self.size)

    def _crop(self, height: int, width: int, epoch: int, index: int) -> CropFlip:
        random = generator("augment", self.seed, epoch, index, 0)
        return random_crop_flip(height, width, self.scale, random)


def plain_view(image: Tensor, size: int) -> Tensor:
    """The shorter side resized to 256 for a centre crop of 224, and so for every size.

    Source: CGC (CVPR 2022), its validation transform, which the plain view goes through.
    """
    return F.center_crop(F.resize(image, [round(size * ENLARGED)]), [size])


def collate(items: list[_Item]) -> RawBatch:
    """Stack the items of a batch, in the memory format that convolutions like."""
    crops = [item.crop for item in items if item.crop is not None]
    plain = [item.plain for item in items if item.plain is not None]
    cropped = [item.cropped for item in items if item.cropped is not None]
    return RawBatch(
        torch.tensor([item.index for item in items]),
        _stacked([item.image for item in items]),
        torch.tensor([item.label for item in items]),
        _stacked(plain) if plain else None,
        _stacked(cropped) if cropped else None,
        crops,
    )


def _stacked(images: list[Tensor]) -> Tensor:
    rows: Tensor = default_collate([image.permute(1, 2, 0) for image in images])
    return rows.permute(0, 3, 1, 2)  # a worker has put them into shared memory at once
