"""Manifold matching: pairs of images should be as far apart as the prompts of their classes."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lico.losses.checks import require_finite, require_rows
from lico.losses.unit_rows import unit_rows

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
        images = unit_rows(image_features)
        text = unit_rows(class_features)
        text_distances = difference_distances(text)[labels][:, labels]
        log_image = torch.log_softmax(-product_distances(images) * scale, dim=1)
        log_text = torch.log_softmax(-text_distances * scale, dim=1)
        return (log_text.exp() * (log_text - log_image)).sum(1).mean()


def product_distances(rows: Float[Tensor, "rows width"]) -> Float[Tensor, "rows rows"]:
    """Euclidean distances by a matrix product; the diagonal is exactly zero.

    The absolute error of a squared distance is some units of the rows' squared norm times the
    floating-point epsilon, which suits rows that are well apart, such as images.
    """
    products = rows @ rows.T
    squares = products.diagonal()
    squared = (squares[:, None] + squares[None, :] - 2 * products).clamp_min(0)
    off_diagonal = ~torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    return _safe_sqrt(squared * off_diagonal)


def difference_distances(
    rows: Float[Tensor, "rows width"], chunk: int = 64
) -> Float[Tensor, "rows rows"]:
    """Euclidean distances by differences: exact to rounding also for nearly equal rows."""
    squared = [(part[:, None, :] - rows[None, :, :]).square().sum(-1) for part in rows.split(chunk)]
    return _safe_sqrt(torch.cat(squared))


def _safe_sqrt(squared: Tensor) -> Tensor:
    """Square root with gradient zero at zero, where the distance has a corner."""
    zero = squared <= 0
    return squared.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)
