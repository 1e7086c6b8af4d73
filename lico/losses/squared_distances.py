"""Squared distances between normalised rows, without a normalised copy of the larger side."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def squared_distances(
    x: Float[Tensor, "batch n width"], y: Float[Tensor, "batch m width"]
) -> Float[Tensor, "batch n m"]:
    """‖x_n - y_m/‖y_m‖‖², in the precision of x; a row of zeros has no direction.

    Rows of zeros stay zero, at distance 1 from every other row, and get no gradient.

    Args:
        x: the smaller side, rows of length 1 or 0 (`lico.losses.unit_rows`).
        y: the larger side, any rows; of its size nothing but itself is kept for the way back.
    """
    return _SquaredDistances.apply(x, y)  # pyright: ignore[reportReturnType]


class _SquaredDistances(torch.autograd.Function):
    """Of unit rows x and any rows y: (x≠0) + (y≠0) - 2 cos(x, y)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor) -> Tensor:
        precise = y.to(x.dtype)
        squared = torch.linalg.vecdot(precise, precise)
        dead = squared == 0
        inverse = squared.masked_fill_(dead, 1).rsqrt_().masked_fill_(dead, 0)[:, None]
        distances = (x @ precise.mT).mul_(inverse).mul_(-2)
        distances.add_(_alive(x)).add_((~dead)[:, None]).clamp_min_(0)
        ctx.save_for_backward(x, y, inverse, distances)
        return distances

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """∂cos/∂y = (x - cos y/‖y‖) / ‖y‖, summed over the rows of x."""
        x, y, inverse, distances = ctx.saved_tensors
        precise = y.to(x.dtype)
        of_cosines = grads[0] * -2
        of_products = of_cosines * inverse
        of_x = of_products @ precise if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_x, None
        along = of_cosines.mul_(cosines(distances, x)).sum(1, keepdim=True).mul_(inverse.square())
        of_y = precise * -along.mT
        of_y.mT.baddbmm_(x.mT, of_products)
        return of_x, of_y.to(y.dtype)


def cosines(
    distances: Float[Tensor, "batch n m"], x: Float[Tensor, "batch n width"]
) -> Float[Tensor, "batch n m"]:
    """What the squared distances of unit rows x were made from; of no meaning where y is zero."""
    return (distances - 1 - _alive(x)).mul_(-0.5)


def _alive(x: Float[Tensor, "batch n width"]) -> Float[Tensor, "batch n 1"]:
    """1 for rows that have a direction, 0 for others."""
    return x.any(2, keepdim=True).to(x.dtype)
