"""Saliency equivariance similarity."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor


def saliency_equivariance_similarity(
    transformed_saliency: Float[Tensor, "batch height width"],
    saliency_of_transformed: Float[Tensor, "batch height width"],
) -> Float64[Tensor, " batch"]:
    """SES(I) = cosine(t(s(I)), s(t(I))), image by image.

    Args:
        transformed_saliency: t(s(I)), the image's map, transformed like the image.
        saliency_of_transformed: s(t(I)), the map of the transformed image.

    Returns:
        In [0, 1] for maps that are not negative; NaN where either map is zero everywhere.

    Source: the reproduction study, eq. 1, after CGC (CVPR 2022).
    """
    a, b = (x.flatten(1).double() for x in (transformed_saliency, saliency_of_transformed))
    norms = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    return torch.where(norms > 0, (a * b).sum(1) / norms, torch.nan)
