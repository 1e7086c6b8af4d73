"""Bring maps to [0, 1] and to the size of the image."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)


def scale_to_unit(
    maps: Float[Tensor, "batch rows columns"],
) -> Float[Tensor, "batch rows columns"]:
    """Scale each map by its own minimum and maximum; a constant map becomes zero everywhere.

    No small constant is added to the range: a map that says nothing is told from a weak one.
    """
    low = maps.amin((1, 2), keepdim=True)
    span = maps.amax((1, 2), keepdim=True) - low
    return torch.where(span > 0, (maps - low) / span.masked_fill(span == 0, 1), 0)


def enlarge(
    maps: Float[Tensor, "batch rows columns"], size: int
) -> Float[Tensor, "batch size size"]:
    """Bilinear, half-pixel centres, to size × size; a map of that size is left as it is."""
    if maps.shape[1:] == (size, size):
        return maps
    return F.interpolate(maps[None], size=(size, size), mode="bilinear")[0]
