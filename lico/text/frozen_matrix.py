"""Products with frozen matrices, by the fastest exact routine of the machine."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)

# torch multiplies single-precision matrices by MKL, which takes its slow path on processors that
# are not Intel's; oneDNN, which torch has for convolutions, does not. Both sum in float32.
_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def frozen_matrix(
    x: Float[Tensor, "tokens width"],
    weight: Float[Tensor, "output width"],
    bias: Float[Tensor, " output"] | None,
) -> Float[Tensor, "tokens output"]:
    """x Wᵀ + b in the type of W, with a gradient to x alone."""
    x = x.to(weight.dtype)
    if _ONEDNN and x.device.type == "cpu" and x.dtype == torch.float32 and len(x):
        return _Product.apply(x, weight, bias)  # pyright: ignore[reportReturnType]
    return F.linear(x, weight, bias)


class _Product(torch.autograd.Function):
    """By oneDNN, both ways."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.weight = weight
        return _linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _linear(grads[0], ctx.weight.T, None), None, None


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")  # noqa: SLF001 (there is no public name)
