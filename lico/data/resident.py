"""Small images live on the device and are augmented there, a batch at a time."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from lico.data.augment import CropFlip, random_crop_flip, view_crop_flip
from lico.data.batch import Batch, PairedViews
from lico.data.fitted import resized
from lico.data.order import EpochOrder
from lico.data.views import ENLARGED
from lico.randomness import generator

Taps = tuple[Int64[Tensor, "batch size taps"], Float64[Tensor, "batch size taps"]]


class ResidentLoader:
    """`BatchLoader` for images that fit into the device's memory: the same order and crops.

    Pixels are those of `BatchLoader` to one grey level: it rounds them to 8 bits between the
    steps, this does not. What an image becomes depends on (seed, epoch, image) alone, to the
    bit, however batches are cut.
    """

    def __init__(
        self,
        pixels: UInt8[Tensor, "images height width 3"],
        labels: Int64[Tensor, " images"],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        *,
        size: int,
        batch_size: int,
        seed: int,
        augment: bool,
        crop_scale: tuple[float, float],
        paired_views: bool = False,
        device: torch.device | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Move the images to the device; the other arguments are those of `BatchLoader`.

        Raises:
            ValueError: if a batch has fewer images than there are processes.
        """
        self.device = device or torch.device("cpu")
        self.pixels = pixels.to(self.device)
        self.labels = labels.to(self.device)
        self.mean, self.std = (torch.tensor(each, device=self.device) for each in (mean, std))
        self.size = size
        self.seed = seed
        self.augment = augment
        self.scale = crop_scale
        self.paired = paired_views
        self.order = EpochOrder(len(labels), seed, batch_size, rank, world_size)

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.order)

    def epoch(self, number: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from `first_batch` on.

        Raises:
            ValueError: if the epoch has no such batch.
        """
        for place, indices in enumerate(self.order.batches(number, first_batch), first_batch):
            yield self._batch(number, indices, self.order.images_in(place))

    def _batch(self, epoch: int, indices: Int64[Tensor, " batch"], whole: int) -> Batch:
        chosen = indices.to(self.device)
        images = (self.pixels[chosen].float() / 255 - self.mean) / self.std
        names: list[int] = indices.tolist()
        main = crop_flip_resize(images, [self._crop(epoch, index) for index in names], self.size)
        labels = self.labels[chosen]
        if not self.paired:
            return Batch(_channels_first(main), labels, None, whole, chosen)
        plain = plain_views(images, self.size)
        crops = [
            view_crop_flip(self.size, self.scale, self.seed, epoch, index, view=1)
            for index in names
        ]
        cropped = crop_flip_resize(plain, crops, self.size)
        views = PairedViews(_channels_first(plain), _channels_first(cropped), crops)
        return Batch(_channels_first(main), labels, views, whole, chosen)

    def _crop(self, epoch: int, index: int) -> CropFlip:
        height, width = self.pixels.shape[1:3]
        if not self.augment:
            return CropFlip(0, 0, height, width, flip=False)
        random = generator("augment", self.seed, epoch, index, 0)
        return random_crop_flip(height, width, self.scale, random)


def crop_flip_resize(
    images: Float[Tensor, "batch height width channels"], crops: Sequence[CropFlip], size: int
) -> Float[Tensor, "batch size size channels"]:
    """Cut a crop of its own out of each image, resize bilinearly with antialiasing, and mirror.

    Each result is a weighted sum of the same few pixels in the same order whatever the batch,
    so its bits depend on the image and the crop alone.

    Args:
        images: of one size; channels last.
        crops: one an image.
        size: side of the results in pixels.

    Source: torchvision's resized_crop on tensors; equal to it but for its rounding.
    """
    top, left, height, width = (
        torch.tensor([getattr(crop, key) for crop in crops])
        for key in ("top", "left", "height", "width")
    )
    flip = torch.tensor([crop.flip for crop in crops])
    columns = _taps(left, width, size, flip)
    rows = _taps(top, height, size, torch.zeros_like(flip))
    return _resample_both(images, rows, columns)


def plain_views(
    images: Float[Tensor, "batch height width channels"], size: int
) -> Float[Tensor, "batch size size channels"]:
    """The shorter side resized to 256 for a centre crop of 224, and so for every size."""
    height, width = images.shape[1:3]
    enlarged = resized(height, width, round(size * ENLARGED), squeeze=False)
    rows, columns = (
        _central_taps(side, larger, size, len(images))
        for side, larger in zip((height, width), enlarged, strict=True)
    )
    return _resample_both(images, rows, columns)


def _central_taps(side: int, enlarged: int, size: int, count: int) -> Taps:
    """The same for every image: an axis resized, and the middle of it kept."""
    index, weight = _taps(torch.tensor([0]), torch.tensor([side]), enlarged, torch.tensor([False]))
    start = round((enlarged - size) / 2)
    kept = slice(start, start + size)
    return index[:, kept].expand(count, -1, -1), weight[:, kept].expand(count, -1, -1)


def _taps(
    start: Int64[Tensor, " batch"],
    length: Int64[Tensor, " batch"],
    size: int,
    flip: Tensor,
) -> Taps:
    """Which pixels of an axis each result is made of, and how much of each (a triangle)."""
    scale = length.double()[:, None] / size
    support = scale.clamp(min=1)
    centre = (torch.arange(size) + 0.5) * scale
    first = (centre - support + 0.5).floor().clamp(min=0)
    end = torch.minimum((centre + support + 0.5).floor(), length.double()[:, None])
    place = first[:, :, None] + torch.arange(int((end - first).max()))
    distance = (place + 0.5 - centre[:, :, None]) / support[:, :, None]
    weight = (1 - distance.abs()).clamp(min=0) * (place < end[:, :, None])
    weight = weight / weight.sum(2, keepdim=True)
    inside = torch.minimum(place.long(), length[:, None, None] - 1)
    index = start[:, None, None] + inside
    mirrored = flip[:, None, None]
    return torch.where(mirrored, index.flip(1), index), torch.where(
        mirrored, weight.flip(1), weight
    )


def _resample_both(
    images: Float[Tensor, "batch height width channels"], rows: Taps, columns: Taps
) -> Float[Tensor, "batch size size channels"]:
    """Along both axes; on a CPU image by image, which stays in its cache in between."""
    count = 1 if images.device.type == "cpu" else max(1, len(images))
    parts = (each.split(count) for each in (images, *rows, *columns))
    size = rows[0].shape[1]
    out = torch.empty(len(images), size, size, images.shape[3], device=images.device)
    for part, *taps, target in zip(*parts, out.split(count), strict=True):
        across = _resample(part.transpose(1, 2), taps[2], taps[3])
        _resample(across.transpose(1, 2).contiguous(), taps[0], taps[1], target)
    return out


def _resample(
    images: Float[Tensor, "batch length other channels"],
    index: Int64[Tensor, "batch size taps"],
    weight: Float64[Tensor, "batch size taps"],
    out: Float[Tensor, "batch size other channels"] | None = None,
) -> Float[Tensor, "batch size other channels"]:
    """Weighted sums along the first axis of each image, one tap after another."""
    index = index.to(images.device)
    weight = weight.to(images)[..., None, None]
    out = torch.mul(_rows(images, index[:, :, 0]), weight[:, :, 0], out=out)
    for tap in range(1, index.shape[2]):
        out += _rows(images, index[:, :, tap]).mul_(weight[:, :, tap])
    return out


def _rows(images: Tensor, index: Int64[Tensor, "batch size"]) -> Tensor:
    if len(images) == 1:
        return images[0].index_select(0, index[0])[None]
    batch = torch.arange(len(images), device=images.device)[:, None]
    return images[batch, index]


def _channels_first(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2)
