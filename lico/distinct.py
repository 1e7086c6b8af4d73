"""The distinct texts of a batch, and whether shapes may depend on them."""

import torch
from jaxtyping import Int64
from torch import Tensor

AT_HAND = frozenset({"cpu"})  # devices whose numbers the host knows without waiting


def fixed_shapes(device: torch.device) -> bool:
    """Whether a step must have the same shapes whatever the batch holds.

    To know how many texts are distinct or how long they are, the host would have to wait for a
    GPU, and a CUDA graph cannot ask at all.
    """
    return device.type not in AT_HAND


def distinct(
    texts: Int64[Tensor, " batch"], known: int
) -> tuple[Int64[Tensor, " distinct"], Int64[Tensor, " batch"]]:
    """The distinct texts of a batch in ascending order, and which of them is each one's.

    With fixed shapes they are as many as there may be, min(batch, known): the largest fills the
    places that are left. Nothing refers to those, so losses and gradients are the same.

    Args:
        texts: of each image.
        known: how many texts there are.
    """
    if not fixed_shapes(texts.device):
        return texts.unique(return_inverse=True)
    ordered, order = texts.sort()
    steps = ordered.diff(prepend=ordered[:1]).ne(0).cumsum(0)
    filled = ordered[-1:].repeat(min(len(texts), known))
    return filled.scatter(0, steps, ordered), torch.empty_like(steps).scatter(0, order, steps)
