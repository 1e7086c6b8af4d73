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
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    zero = norm == 0
    return x.masked_fill(zero, 0) / norm.masked_fill(zero, 1)
