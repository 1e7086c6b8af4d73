"""Normalisation that leaves rows of zeros alone."""

import torch
from jaxtyping import Float
from torch import Tensor


def unit_rows(x: Float[Tensor, "*outer width"]) -> Float[Tensor, "*outer width"]:
    """Rows of length 1 in the 2-norm, in single precision or better.

    A row of zeros (a dead feature map) has no direction: it stays zero and gets no gradient.
    A lower bound on the norm would instead give it a gradient of one over that bound.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    # vector_norm takes a hundred times as long on feature maps that lie channels last
    squared = torch.linalg.vecdot(x, x)[..., None]
    zero = squared == 0
    return x.masked_fill(zero, 0) / squared.masked_fill(zero, 1).sqrt()
