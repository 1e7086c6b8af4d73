"""Insertion and deletion: how the probability moves as salient pixels come or go."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)

Probability = Callable[[Tensor], Tensor]


def insertion_curve(
    probability: Probability,
    images: Float[Tensor, "batch 3 height width"],
    saliency: Float[Tensor, "batch height width"],
    targets: Int64[Tensor, " batch"],
    *,
    pixels_per_step: int,
    chunk: int,
) -> Float[Tensor, "batch points"]:
    """Probability of the target while a blurred image is restored, most salient pixels first.

    Args:
        probability: normalised images → probabilities, [n, classes].
        images: normalised.
        saliency: one map an image; pixels of equal saliency keep their reading order.
        targets: whose probability is followed.
        pixels_per_step: restored from one point to the next; the last step may have fewer.
        chunk: images that `probability` gets at most at a time.

    Returns:
        One row an image: first the blurred image, last the whole one.

    Source: RISE (BMVC 2018), section 4; blur as in the reproduction study's code (an 11 × 11
    Gaussian of σ = 5 on normalised pixels, zeros beyond the edge).
    """
    return _curve(
        probability, gaussian_blur(images), images, saliency, targets, pixels_per_step, chunk
    )


def deletion_curve(
    probability: Probability,
    images: Float[Tensor, "batch 3 height width"],
    saliency: Float[Tensor, "batch height width"],
    targets: Int64[Tensor, " batch"],
    *,
    pixels_per_step: int,
    chunk: int,
) -> Float[Tensor, "batch points"]:
    """Probability of the target while pixels become 0, the data set's mean, most salient first.

    Arguments, result and source as for `insertion_curve`.
    """
    gone = torch.zeros_like(images)
    return _curve(probability, images, gone, saliency, targets, pixels_per_step, chunk)


def fractions(pixels: int, pixels_per_step: int) -> Float64[Tensor, " points"]:
    """Share of the pixels that has changed at each point of a curve, 0 and 1 included."""
    steps = -(-pixels // pixels_per_step)
    changed = torch.arange(steps + 1, dtype=torch.float64) * pixels_per_step
    return changed.clamp(max=pixels) / pixels


def area_under_curve(
    curves: Float[Tensor, "batch points"], shares: Float64[Tensor, " points"]
) -> Float64[Tensor, " batch"]:
    """Area by trapezoids over the share of pixels, 0 to 1."""
    return torch.trapezoid(curves.double(), shares.to(curves.device), dim=1)


def gaussian_blur(
    images: Float[Tensor, "batch channels height width"], size: int = 11, sigma: float = 5.0
) -> Float[Tensor, "batch channels height width"]:
    """Blur with a Gaussian kernel of sum 1, zeros beyond the edge."""
    offset = torch.arange(size, dtype=images.dtype, device=images.device) - size // 2
    kernel = (-offset.square() / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    rows, columns = kernel.view(1, 1, -1, 1), kernel.view(1, 1, 1, -1)
    blurred = F.conv2d(
        images, rows.expand(channels, -1, -1, -1), padding=(size // 2, 0), groups=channels
    )
    return F.conv2d(
        blurred, columns.expand(channels, -1, -1, -1), padding=(0, size // 2), groups=channels
    )


def _curve(
    probability: Probability,
    start: Tensor,
    end: Tensor,
    saliency: Tensor,
    targets: Tensor,
    pixels_per_step: int,
    chunk: int,
) -> Tensor:
    """From `start` to `end`, pixel by pixel in the order of the saliency."""
    batch, _, height, width = start.shape
    rank = _rank(saliency.flatten(1)).view(batch, height, width)
    points = -(-height * width // pixels_per_step) + 1
    which = torch.arange(batch, device=start.device).repeat_interleave(points)
    point = torch.arange(points, device=start.device).repeat(batch)
    found: list[Tensor] = []
    for rows, step in zip(which.split(chunk), point.split(chunk), strict=True):
        changed: Bool[Tensor, "n h w"] = rank[rows] < (step * pixels_per_step)[:, None, None]
        mixed = torch.where(changed[:, None], end[rows], start[rows])
        found.append(probability(mixed).gather(1, targets[rows, None])[:, 0])
    return torch.cat(found).view(batch, points)


def _rank(values: Float[Tensor, "batch pixels"]) -> Int64[Tensor, "batch pixels"]:
    """Place of each pixel in decreasing order, ties by index."""
    return values.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
