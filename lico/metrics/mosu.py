"""Multi-object saliency uniformity."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def multi_object_saliency_uniformity(
    saliency: Float[Tensor, "batch height width"], boxes: Sequence[Float[Tensor, "instances 4"]]
) -> Float64[Tensor, " batch"]:
    """MOSU = D_KL(v_area ‖ v_saliency) over an image's instances, in nats.

    v_area[i] is box i's share of all boxes' areas, v_saliency[i] its share of the saliency in
    them. A pixel that a box covers in part counts in part; boxes may overlap.

    Args:
        saliency: not negative, one map an image.
        boxes: for each image x_min, y_min, x_max, y_max in pixels, maxima exclusive.

    Returns:
        At least 0; NaN with fewer than two boxes of positive area or no saliency in any; +∞
        where a box has no saliency while another has.

    Source: the reproduction study, eq. 3.
    """
    return torch.stack(
        [_one(each.double(), box.double()) for each, box in zip(saliency, boxes, strict=True)]
    )


def _one(saliency: Float64[Tensor, "height width"], boxes: Float64[Tensor, "n 4"]) -> Tensor:
    height, width = saliency.shape
    boxes = boxes.to(saliency.device)
    columns = _coverage(boxes[:, 0], boxes[:, 2], width)
    rows = _coverage(boxes[:, 1], boxes[:, 3], height)
    areas = rows.sum(1) * columns.sum(1)
    present = areas > 0
    inside = torch.einsum("nh,hw,nw->n", rows, saliency, columns)[present]
    if present.sum() < 2 or not inside.sum() > 0:
        return saliency.new_tensor(torch.nan)
    v_area, v_saliency = areas[present] / areas[present].sum(), inside / inside.sum()
    return (v_area * (v_area / v_saliency).log()).sum()


def _coverage(low: Tensor, high: Tensor, length: int) -> Float64[Tensor, "n length"]:
    """Share of each pixel of an axis that lies between low and high."""
    pixel = torch.arange(length, dtype=low.dtype, device=low.device)
    overlap = torch.minimum(high[:, None], pixel + 1) - torch.maximum(low[:, None], pixel)
    return overlap.clamp(0, 1)
