"""Multi-object saliency uniformity."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


def multi_object_saliency_uniformity(
    saliency: Float[Tensor, "batch height width"], boxes: Sequence[Float[Tensor, "_ 4"]]
) -> Float64[Tensor, " batch"]:
    """MOSU = D_KL(v_area ‖ v_saliency) over an image's instances, in nats.

    v_area[i] is box i's share of all boxes' areas, v_saliency[i] its share of the saliency in
    them. A pixel that a box covers in part counts in part, what lies beyond the image not at all;
    boxes may overlap.

    Args:
        saliency: not negative, one map an image.
        boxes: for each image x_min, y_min, x_max, y_max in pixels, maxima exclusive.

    Returns:
        At least 0; NaN with fewer than two boxes of positive area or no saliency in any; +∞
        where a box has no saliency while another has.

    Source: the reproduction study, eq. 3.
    """
    maps = saliency.double()
    corners = pad_sequence([each.double() for each in boxes], batch_first=True).to(maps.device)
    x_min, y_min, x_max, y_max = corners.unbind(2)
    columns = _coverage(x_min, x_max, maps.shape[2])
    rows = _coverage(y_min, y_max, maps.shape[1])
    areas = rows.sum(2) * columns.sum(2)
    inside = torch.einsum("bnh,bhw,bnw->bn", rows, maps, columns)
    v_area = areas / areas.sum(1, keepdim=True)
    v_saliency = inside / inside.sum(1, keepdim=True)
    terms = torch.where(areas > 0, v_area * (v_area / v_saliency).log(), 0)
    defined = ((areas > 0).sum(1) >= 2) & (inside.sum(1) > 0)
    return torch.where(defined, terms.sum(1).clamp(min=0), torch.nan)


def _coverage(
    low: Float64[Tensor, "batch n"], high: Float64[Tensor, "batch n"], length: int
) -> Float64[Tensor, "batch n length"]:
    """Share of each pixel of an axis that lies between low and high."""
    pixel = torch.arange(length, dtype=low.dtype, device=low.device)
    overlap = torch.minimum(high[..., None], pixel + 1) - torch.maximum(low[..., None], pixel)
    return overlap.clamp(0, 1)
