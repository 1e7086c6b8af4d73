"""Validation images at the network's size, with masks and boxes through the same geometry."""

from dataclasses import replace

from jaxtyping import Int64
from torch import Tensor
from torchvision.transforms.v2 import functional as F  # noqa: N812 (torchvision's own name)

from lico.data.boxes import fit_boxes
from lico.data.packed.images import PackedImages
from lico.data.sample import Sample


class FittedImages:
    """A packed split, every image resized by its shorter side and cropped to the centre.

    The mask goes through the very same resizing and crop by nearest pixels, boxes by the same
    numbers; a box that the crop leaves nothing of is dropped, `instances` keeps the count.
    """

    def __init__(self, data: PackedImages, size: int, *, squeeze: bool = False) -> None:
        """Wrap a packed split.

        Args:
            data: whole images.
            size: side of the result in pixels.
            squeeze: resize to a square instead of cropping one out (the Adversarial set).
        """
        self.data = data
        self.size = size
        self.squeeze = squeeze
        self.name = data.name
        self.fingerprint = data.fingerprint
        self.class_names = data.class_names
        self.mean, self.std = data.mean, data.std

    @property
    def labels(self) -> Int64[Tensor, " images"]:
        """All class indices."""
        return self.data.labels

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        sample = self.data[index]
        height, width = sample.image.shape[1:]
        new_height, new_width = resized(height, width, self.size, squeeze=self.squeeze)
        left, top = round((new_width - self.size) / 2), round((new_height - self.size) / 2)
        scale = (new_width / width, new_height / height)
        mask = None if sample.mask is None else self._fit(sample.mask[None], nearest=True)[0]
        return replace(
            sample,
            image=self._fit(sample.image),
            mask=mask,
            boxes=fit_boxes(sample.boxes, scale, (left, top), self.size),
        )

    def image_id(self, index: int) -> str:
        """The packed split's name of the image."""
        return self.data.image_id(index)

    def _fit(self, image: Tensor, *, nearest: bool = False) -> Tensor:
        mode = F.InterpolationMode.NEAREST if nearest else F.InterpolationMode.BILINEAR
        height, width = image.shape[1:]
        size = resized(height, width, self.size, squeeze=self.squeeze)
        return F.center_crop(F.resize(image, list(size), mode), [self.size]).contiguous()


def resized(height: int, width: int, size: int, *, squeeze: bool) -> tuple[int, int]:
    """Height and width when the shorter side becomes `size`, as torchvision rounds them."""
    if squeeze:
        return size, size
    if width <= height:
        return int(size * height / width), size
    return size, int(size * width / height)
