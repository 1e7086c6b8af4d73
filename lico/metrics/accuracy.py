"""Top-k accuracy."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


def top_k_correct(
    logits: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"], k: int
) -> Bool[Tensor, " batch"]:
    """Whether fewer than k classes score higher than the true one.

    Of equal logits the class with the lower index comes first, so that a constant classifier is
    right for the first k classes alone.

    Args:
        logits: any increasing function of the class probabilities.
        labels: true classes.
        k: at least 1, at most the number of classes.

    Raises:
        ValueError: if k is out of range.
    """
    if not 1 <= k <= logits.shape[1]:
        raise ValueError(f"top-{k} of {logits.shape[1]} classes; k must be 1 to {logits.shape[1]}")
    own = logits.gather(1, labels[:, None])
    index = torch.arange(logits.shape[1], device=logits.device)
    before = (logits > own) | ((logits == own) & (index < labels[:, None]))
    return before.sum(1) < k
