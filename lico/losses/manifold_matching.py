"""Manifold matching: pairs of images should be as far apart as the prompts of their classes."""

import math
from collections.abc import Iterator
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lico.losses.checks import require_finite, require_rows
from lico.losses.unit_rows import unit_rows

CACHED_ENTRIES = 2**18  # of differences that are worked on at a time
ENTRIES_ON_GPU = 2**24
MAX_LOG_SCALE = math.log(100)
INITIAL_LOG_SCALE = math.log(1 / 0.07)


def manifold_matching(
    image_features: Float[Tensor, "batch width"],
    class_features: Float[Tensor, "classes text_width"],
    labels: Int64[Tensor, " batch"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """KL divergence between the neighbourhoods of the images and of their prompts.

    A_ij = softmax_j(-D_ij · scale) row by row, with D the Euclidean distance between
    L2-normalised features, the pair of a sample with itself included, and

        L_MM = 1/B Σ_i KL(A^G_i ‖ A^F_i),

    with F the images and G the text. Gradients flow to both and to the scale.

    Args:
        image_features: one row an image; normalised here, a row of zeros stays zero.
        class_features: one row a class, normalised likewise. Distances are taken among these
            few rows by differences, because prompts differ so little that the matrix product
            form would lose them in single precision; equal classes are at distance exactly 0.
        labels: the row of `class_features` that belongs to each image.
        scale: positive; the inverse temperature.

    Returns:
        The loss, at least 0, in nats.

    Raises:
        ValueError: if the shapes do not belong together or, on a CPU, a feature is not finite or
            a label has no row.

    Source: LICO (NeurIPS 2023), eqs. 1 and 2; normalisation and the multiplied temperature as
    in the reproduction study, section 3.4.
    """
    if image_features.ndim != 2 or labels.shape != image_features.shape[:1]:
        raise ValueError(
            f"manifold_matching got image_features {list(image_features.shape)} and labels "
            f"{list(labels.shape)}; it needs [batch, width] and [batch]"
        )
    if class_features.ndim != 2:
        raise ValueError(
            f"manifold_matching got class_features {list(class_features.shape)}; it needs "
            "[classes, text_width]"
        )
    require_rows("manifold_matching", labels, len(class_features), ("labels", "class_features"))
    require_finite(
        "manifold_matching", image_features=image_features, class_features=class_features
    )
    with torch.autocast(image_features.device.type, enabled=False):
        text = unit_rows(class_features)
        text_distances = difference_distances(text)[labels][:, labels]
        log_image = torch.log_softmax(-product_distances(image_features) * scale, dim=1)
        log_text = torch.log_softmax(-text_distances * scale, dim=1)
        return (log_text.exp() * (log_text - log_image)).sum(1).mean()


def product_distances(rows: Float[Tensor, "rows width"]) -> Float[Tensor, "rows rows"]:
    """Euclidean distances of rows brought to length 1, by one matrix product.

    No normalised copy of the rows is made. The diagonal is exactly zero. The absolute error of a
    squared distance is some units of the floating-point epsilon, which suits rows that are well
    apart, such as images.
    """
    products = cast("Tensor", _Products.apply(rows))
    norms = products.diagonal()
    dead = norms == 0
    inverse = norms.masked_fill(dead, 1).rsqrt().masked_fill(dead, 0)
    cosines = products * inverse[:, None] * inverse
    squares = cosines.diagonal()  # as the cosines of equal rows are rounded, so that these cancel
    off_diagonal = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    return _safe_sqrt((squares[:, None] + squares - 2 * cosines).clamp_min(0) * off_diagonal)


def difference_distances(rows: Float[Tensor, "rows width"]) -> Float[Tensor, "rows rows"]:
    """Euclidean distances by differences: exact to rounding also for nearly equal rows."""
    return cast("Tensor", _DifferenceDistances.apply(rows))


class _Products(torch.autograd.Function):
    """X Xᵀ, in single precision or better; X alone is kept."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        precise = rows.to(torch.promote_types(rows.dtype, torch.float32))
        return precise @ precise.T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return ((grads[0] + grads[0].T) @ rows.to(grads[0].dtype)).to(rows.dtype)


class _DifferenceDistances(torch.autograd.Function):
    """Differences are made some rows at a time, and again on the way back."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        squared = [differences.square_().sum(2) for _, differences in _differences(rows)]
        distances = torch.cat(squared).sqrt_()
        ctx.save_for_backward(rows, distances)
        return distances

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Σ_j (r_i - r_j)/d_ij of each row, weighted; 0 where the distance has its corner."""
        rows, distances = ctx.saved_tensors
        weights = (grads[0] + grads[0].T) / distances.masked_fill(distances == 0, torch.inf)
        return torch.cat([(weights[some, None] @ each)[:, 0] for some, each in _differences(rows)])


def _differences(rows: Tensor) -> Iterator[tuple[slice, Float[Tensor, "some rows width"]]]:
    """Of some rows from all, as many as fit a processor's cache."""
    entries = CACHED_ENTRIES if rows.device.type == "cpu" else ENTRIES_ON_GPU
    size = max(1, entries // max(1, rows.numel()))
    for start in range(0, len(rows), size):
        some = slice(start, start + size)
        yield some, rows[some, None] - rows


def _safe_sqrt(squared: Tensor) -> Tensor:
    """Square root with gradient zero at zero, where the distance has a corner."""
    zero = squared <= 0
    return squared.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)
