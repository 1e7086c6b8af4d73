"""Contrastive Grad-CAM consistency: the map should move with the image, and be its own."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)

from lico.data.augment import CropFlip
from lico.data_parallel import Parts, gather

FLOOR = 1e-8


def differentiable_gradcam(
    logits: Float[Tensor, "batch classes"],
    feature_maps: Float[Tensor, "batch channels height width"],
    classes: Int64[Tensor, " batch"],
) -> Float[Tensor, "batch height width"]:
    """Grad-CAM with a graph, so that a loss on the map trains the network.

        CAM(x, c) = ReLU(Σ_k ∂y_c/∂A_k ∘ A_k)

    at each location, without averaging the gradient over space. `logits` must depend on
    `feature_maps` in the graph.

    Source: CGC (CVPR 2022), section 3, as its code has it.
    """
    score = logits.gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, feature_maps, create_graph=True)
    return (gradient * feature_maps).sum(1).relu()


def contrastive_gradcam(
    maps: Float[Tensor, "batch height width"],
    maps_of_views: Float[Tensor, "batch height width"],
    crops: Sequence[CropFlip],
    size: int,
    temperature: float,
    parts: Parts | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE between the map of a cropped view and the equally cropped map of the whole.

    With m_a the maps of the views and m_o the cropped maps of the wholes, all upsampled to
    `size` and of unit length,

        L = -1/B Σ_i log( e^{⟨a_i, o_i⟩/T} / (e^{⟨a_i, o_i⟩/T} + Σ_{j≠i} e^{⟨a_i, a_j⟩/T}) ).

    Args:
        maps: Grad-CAM maps of the plain images, native resolution.
        maps_of_views: Grad-CAM maps of their cropped and flipped views, native resolution.
        crops: how each view was cut from its image, in pixels of the image.
        size: side of the images in pixels.
        temperature: T.
        parts: if these are one process's part of a batch; negatives are then of the whole, and
            the mean that is returned is over the part.

    Raises:
        ValueError: if there is not one crop for each image.

    Source: CGC (CVPR 2022), eqs. 1 to 3. A batch of one image has no negatives and loss 0.
    """
    if len(crops) != len(maps) or maps.shape != maps_of_views.shape:
        raise ValueError(
            f"contrastive_gradcam got maps {list(maps.shape)}, maps_of_views "
            f"{list(maps_of_views.shape)} and {len(crops)} crops; it needs one of each an image"
        )
    height, width = maps.shape[1:]
    rows = _interpolation(height, size, maps)
    columns = _interpolation(width, size, maps)
    parts = parts or Parts((len(maps),))
    every_view = _unit_length(_unit_mass(rows @ gather(maps_of_views, parts) @ columns.T))
    viewed = every_view[parts.own]
    whole = _unit_mass(rows @ maps @ columns.T)
    vertical = torch.stack([_crop_matrix(c.top, c.height, size, whole, flip=False) for c in crops])
    horizontal = torch.stack([_crop_matrix(c.left, c.width, size, whole, c.flip) for c in crops])
    moved = _unit_length(vertical @ whole @ horizontal.mT)
    positive = (viewed * moved).sum(1)
    similarities = viewed @ every_view.T
    similarities = torch.diagonal_scatter(similarities, positive, offset=parts.own.start)
    target = torch.arange(parts.own.start, parts.own.stop, device=maps.device)
    return F.cross_entropy(similarities / temperature, target)


def _unit_mass(maps: Tensor) -> Tensor:
    return maps / (maps.sum((1, 2), keepdim=True) + FLOOR) + FLOOR


def _unit_length(maps: Tensor) -> Tensor:
    return F.normalize(maps.flatten(1), dim=1)


def _interpolation(source: int, target: int, like: Tensor) -> Float[Tensor, "target source"]:
    """Bilinear resizing of one axis as a matrix (half-pixel centres, edges repeated).

    As a matrix product it has deterministic gradients on every device.
    """
    identity = torch.eye(source, dtype=like.dtype, device=like.device)
    resized = F.interpolate(identity[None], size=target, mode="linear", align_corners=False)
    return resized[0].T


def _crop_matrix(start: int, length: int, size: int, like: Tensor, flip: bool) -> Tensor:
    """Cut [start, start + length) out of an axis of `size`, resize back to `size`, mirror."""
    matrix = torch.zeros(size, size, dtype=like.dtype, device=like.device)
    matrix[:, start : start + length] = _interpolation(length, size, like)
    return matrix.flip(0) if flip else matrix
