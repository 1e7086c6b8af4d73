"""Shares of the saliency that lie in a region: on the object, or on the spurious texture."""

import torch
from jaxtyping import Bool, Float, Float64, UInt8
from torch import Tensor

from lico.data.sample import IGNORE, OBJECT


def segmentation_content_heatmap(
    saliency: Float[Tensor, "batch height width"], mask: UInt8[Tensor, "batch height width"]
) -> Float64[Tensor, " batch"]:
    """SCH(H, M) = Σ H·M / Σ H, with ignored pixels left out of both sums.

    Args:
        saliency: H, not negative, at the mask's resolution.
        mask: OBJECT, BACKGROUND or IGNORE for each pixel.

    Returns:
        In [0, 1]; NaN where the map is zero outside ignored pixels, or no pixel is OBJECT.

    Source: the reproduction study, eq. 2.
    """
    counted = saliency.double() * (mask != IGNORE)
    return _share(counted, mask == OBJECT)


def spurious_share(
    saliency: Float[Tensor, "batch height width"], spurious: Bool[Tensor, "batch height width"]
) -> Float64[Tensor, " batch"]:
    """Share of the saliency on the texture that betrays the class in training.

    Returns:
        In [0, 1]; NaN where the map is zero, or no spurious pixel is in sight.
    """
    return _share(saliency.double(), spurious)


def _share(saliency: Tensor, region: Tensor) -> Tensor:
    total = saliency.sum((1, 2))
    inside = (saliency * region).sum((1, 2))
    defined = (total > 0) & region.any(2).any(1)
    return torch.where(defined, inside / total, torch.nan)
