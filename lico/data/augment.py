"""Random crops and flips whose parameters depend on (seed, epoch, image) alone."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)

from lico.randomness import generator

RATIO = (3 / 4, 4 / 3)
ATTEMPTS = 10


@dataclass(frozen=True)
class CropFlip:
    """Cut [top, left, height, width] pixels out, resize them, and mirror if `flip`."""

    top: int
    left: int
    height: int
    width: int
    flip: bool


def random_crop_flip(
    height: int, width: int, scale: tuple[float, float], random: np.random.Generator
) -> CropFlip:
    """Draw the parameters of torchvision's RandomResizedCrop and RandomHorizontalFlip.

    The area's share is uniform in `scale`, the logarithm of the aspect ratio uniform in
    [3/4, 4/3]; after ten draws that do not fit, the largest central crop of an allowed ratio.

    Args:
        height: of the image, in pixels.
        width: of the image, in pixels.
        scale: lowest and highest share of the image's area.
        random: the source of randomness; its state advances.

    Source: torchvision.transforms.v2.RandomResizedCrop (ratio and fallback as its defaults).
    """
    area = height * width
    for _ in range(ATTEMPTS):
        target = area * random.uniform(*scale)
        ratio = math.exp(random.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
        if 0 < w <= width and 0 < h <= height:
            top = int(random.integers(0, height - h + 1))
            left = int(random.integers(0, width - w + 1))
            return CropFlip(top, left, h, w, bool(random.random() < 0.5))
    w = min(width, round(height * RATIO[1]))
    h = min(height, round(width / RATIO[0]))
    top, left = (height - h) // 2, (width - w) // 2
    return CropFlip(top, left, h, w, bool(random.random() < 0.5))


def apply_crop_flip(
    image: UInt8[Tensor, "*leading height width"] | Float[Tensor, "*leading height width"],
    crop: CropFlip,
    size: int,
    *,
    antialias: bool = True,
) -> Tensor:
    """Crop, resize bilinearly to size × size, and mirror.

    Args:
        image: image or map; a map needs a leading dimension of its own.
        crop: what to cut out, in pixels of `image`.
        size: side of the result in pixels.
        antialias: low-pass filter when shrinking, as torchvision does for images.
    """
    # what torchvision's resized_crop comes to, without its dispatch, which costs as much as a crop
    cut = image[..., crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    rows = cut.reshape(-1, crop.height, crop.width)
    # a batch of one whose strides say that colours lie side by side, if they do: the resize is then
    # made on them so, in half the time, and so is the stacking of batches
    rows = rows.movedim(0, -1)[None].movedim(-1, 1)
    out = F.interpolate(
        rows, (size, size), mode="bilinear", antialias=antialias, align_corners=False
    )
    out = out.view(*image.shape[:-2], size, size)
    return out.flip(-1) if crop.flip else out


def view_crop_flip(
    size: int, scale: tuple[float, float], seed: int, epoch: int, index: int, view: int = 0
) -> CropFlip:
    """The crop of one image in one epoch, whatever the order, the worker or the history."""
    return random_crop_flip(size, size, scale, generator("augment", seed, epoch, index, view))
