"""Insertion and deletion: how the probability moves as salient pixels come or go."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)

Probability = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Trial:
    """Images under test, with all that does not depend on a saliency map.

    Attributes:
        images: normalised.
        blurred: where insertion starts.
        targets: the class whose probability is followed.
        of_images: its probability for the images themselves.
        of_blurred: for the blurred images.
        of_nothing: for the image that is 0 everywhere.
    """

    images: Float[Tensor, "batch channels height width"]
    blurred: Float[Tensor, "batch channels height width"]
    targets: Int64[Tensor, " batch"]
    of_images: Float[Tensor, " batch"]
    of_blurred: Float[Tensor, " batch"]
    of_nothing: Float[Tensor, " batch"]


def prepare_trial(
    probability: Probability,
    images: Float[Tensor, "batch channels height width"],
    targets: Int64[Tensor, " batch"],
    of_images: Float[Tensor, "batch classes"],
) -> Trial:
    """Blur the images, and find the ends of their curves, which are the same for every map.

    Args:
        probability: normalised images → probabilities, [n, classes].
        images: normalised.
        targets: the class whose probability is followed.
        of_images: `probability(images)`, which the caller has from measuring the accuracy.
    """
    blurred = gaussian_blur(images)
    of_nothing = probability(torch.zeros_like(images[:1]))[0]
    return Trial(
        images,
        blurred,
        targets,
        _of_targets(of_images, targets),
        _of_targets(probability(blurred), targets),
        of_nothing[targets],
    )


def insertion_deletion_curves(
    probability: Probability,
    trial: Trial,
    saliency: Float[Tensor, "batch height width"],
    *,
    pixels_per_step: int,
    chunk: int,
) -> tuple[Float[Tensor, "batch points"], Float[Tensor, "batch points"]]:
    """Probability of the target as the image changes, most salient pixels first.

    Insertion goes from the blurred image to the whole one; deletion from the whole image to one
    that is 0, the data set's mean, everywhere.

    Args:
        probability: normalised images → probabilities, [n, classes].
        trial: the images.
        saliency: one map an image; pixels of equal saliency keep their reading order.
        pixels_per_step: changed from one point to the next; the last step may have fewer.
        chunk: changed images that exist at a time, or as many as there are images if that is more.

    Returns:
        Insertion and deletion, at the points of `fractions`; NaN for an image whose map is zero
        everywhere, since such a map orders nothing.

    Source: RISE (BMVC 2018), section 4; steps and blur as in the reproduction study's code.
    """
    height, width = saliency.shape[1:]
    steps = -(-height * width // pixels_per_step)
    step = (_rank(saliency.flatten(1)) // pixels_per_step).view_as(saliency)
    zeros = trial.images.new_zeros(())
    paths = (
        (trial.blurred, trial.images, trial.of_blurred, trial.of_images),
        (trial.images, zeros, trial.of_images, trial.of_nothing),
    )
    together = max(1, chunk // len(saliency))
    curves: list[Tensor] = []
    for start, end, first, last in paths:
        curve = [first[None]]
        for low in range(1, steps, together):
            done = torch.arange(low, min(low + together, steps), device=step.device)
            changed = (step < done[:, None, None, None]).to(start.dtype)[:, :, None]
            mixed = torch.lerp(start, end, changed)  # exact, since `changed` is 0 or 1
            answers = probability(mixed.flatten(0, 1))
            found = _of_targets(answers, trial.targets.repeat(len(done)))
            curve.append(found.view(len(done), -1))
        curves.append(torch.cat([*curve, last[None]]).T)
    defined = (saliency != 0).flatten(1).any(1)[:, None]
    insertion, deletion = (torch.where(defined, curve, torch.nan) for curve in curves)
    return insertion, deletion


def fractions(pixels: int, pixels_per_step: int) -> Float64[Tensor, " points"]:
    """Share of the pixels that has changed at each point of a curve, 0 and 1 included."""
    steps = -(-pixels // pixels_per_step)
    changed = torch.arange(steps + 1, dtype=torch.float64) * pixels_per_step
    return changed.clamp(max=pixels) / pixels


def area_under_curve(
    curves: Float[Tensor, "batch points"], shares: Float64[Tensor, " points"]
) -> Float64[Tensor, " batch"]:
    """Area by trapezoids over the share of pixels, 0 to 1; NaN where a point is."""
    return torch.trapezoid(curves.double(), shares.to(curves.device), dim=1)


def gaussian_blur(
    images: Float[Tensor, "batch channels height width"], size: int = 11, sigma: float = 5.0
) -> Float[Tensor, "batch channels height width"]:
    """Blur with a Gaussian kernel of sum 1, zeros beyond the edge.

    Source: size, width and edge of the reproduction study's code, which blurs normalised pixels.
    """
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


def _of_targets(
    answers: Float[Tensor, "n classes"], targets: Int64[Tensor, " n"]
) -> Float[Tensor, " n"]:
    return answers.gather(1, targets[:, None])[:, 0]


def _rank(values: Float[Tensor, "batch pixels"]) -> Int64[Tensor, "batch pixels"]:
    """Place of each pixel in decreasing order, ties by index."""
    order = values.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)
