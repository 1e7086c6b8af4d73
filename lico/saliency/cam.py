"""Class activation maps of the last convolutional stage, by torchcam."""

from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torchcam.methods import ScoreCAM
from torchcam.methods.gradient import GradCAM, GradCAMpp, LayerCAM

CamMethod = Literal["gradcam", "gradcam_pp", "layercam", "scorecam"]

_GRADIENT_METHODS: dict[str, type[Any]] = {
    "gradcam": GradCAM,
    "gradcam_pp": GradCAMpp,
    "layercam": LayerCAM,
}


def class_activation_maps(
    method: CamMethod,
    backbone: nn.Module,
    layer: nn.Module,
    images: Float[Tensor, "batch 3 height width"],
    targets: Int64[Tensor, " batch"],
    *,
    chunk: int,
) -> Float[Tensor, "batch rows columns"]:
    """Raw maps (not scaled) for the target classes at the layer's own resolution.

    Hooks are removed and no gradient is left on any parameter, whatever happens.

    Args:
        method: Grad-CAM (ICCV 2017), Grad-CAM++ (WACV 2018), Layer-CAM (TIP 2021) or
            Score-CAM (CVPRW 2020).
        backbone: images → logits, in evaluation mode.
        layer: the module of `backbone` whose output is mapped.
        images: normalised.
        targets: classes that the maps are for.
        chunk: masked images that Score-CAM forwards at a time.

    Raises:
        ValueError: if the backbone is in training mode, whose batch statistics would make each
            map depend on the other images.
    """
    if backbone.training:
        raise ValueError("the backbone is in training mode; call eval() before taking maps")
    classes: list[int] = targets.tolist()
    if method == "scorecam":
        with ScoreCAM(backbone, layer, batch_size=chunk) as extract, torch.no_grad():
            backbone(images)
            return extract(class_idx=classes, normalized=False)[0]
    watched = images.detach().requires_grad_()  # a graph also where parameters are frozen
    with _GRADIENT_METHODS[method](backbone, layer) as extract, torch.enable_grad():
        scores = backbone(watched)
        return extract(class_idx=classes, scores=scores, normalized=False)[0].detach()
