"""RISE: saliency of any classifier from its answers to randomly masked images."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)

from lico.config import Rise
from lico.randomness import generator


def random_masks(settings: Rise, size: int, seed: int) -> Float[Tensor, "masks size size"]:
    """Smooth random masks, the same for every image and every model.

    A grid of cells × cells, each 1 with the given probability, is enlarged bilinearly to
    (cells + 1) cells' width and cropped at a random place to size × size.

    Args:
        settings: how many, of how many cells, and with what probability.
        size: side in pixels.
        seed: of the masks alone.

    Source: RISE (BMVC 2018), section 3.2.
    """
    random = generator("rise", seed, settings.masks, settings.cells, size)
    grids = random.random((settings.masks, 1, settings.cells, settings.cells))
    cell = -(-size // settings.cells)
    small = torch.from_numpy((grids < settings.keep_probability).astype(np.float32))
    large = F.interpolate(small, size=(settings.cells + 1) * cell, mode="bilinear")[:, 0]
    corners = random.integers(0, cell, (settings.masks, 2)).tolist()
    return torch.stack(
        [m[y : y + size, x : x + size] for m, (y, x) in zip(large, corners, strict=True)]
    )


def rise_maps(
    probability: Callable[[Tensor], Tensor],
    images: Float[Tensor, "batch 3 height width"],
    targets: Int64[Tensor, " batch"],
    masks: Float[Tensor, "masks height width"],
    keep_probability: float,
    *,
    chunk: int,
) -> Float[Tensor, "batch height width"]:
    """S_i = 1/(N p) Σ_k f_target(I_i ⊙ M_k) M_k.

    Args:
        probability: normalised images → probabilities, [n, classes].
        images: normalised; a masked pixel becomes 0, the data set's mean.
        targets: classes that the maps are for.
        masks: N masks between 0 and 1.
        keep_probability: p, with which a mask's cell is 1.
        chunk: masked images that exist at a time, or as many as there are images if that is more.

    Source: RISE (BMVC 2018), eq. 6.
    """
    together = max(1, chunk // len(images))
    answers: list[Tensor] = []
    for part in masks.split(together):
        masked = images * part[:, None, None]
        answer = probability(masked.flatten(0, 1)).view(len(part), len(images), -1)
        answers.append(answer.gather(2, targets[None, :, None].expand(len(part), -1, 1))[..., 0])
    weights = torch.cat(answers)
    summed = weights.T @ masks.flatten(1)
    return summed.view(-1, *masks.shape[1:]) / (len(masks) * keep_probability)
