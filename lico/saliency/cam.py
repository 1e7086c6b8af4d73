"""Class activation maps of the last convolutional stage, by torchcam."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torchcam.methods import ScoreCAM
from torchcam.methods.gradient import GradCAM, GradCAMpp, LayerCAM

CamMethod = Literal["gradcam", "gradcam_pp", "layercam", "scorecam"]


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

    With A_k the layer's feature maps, y the target's logit and g_k = ∂y/∂A_k:

    - Grad-CAM: ReLU(Σ_k w_k A_k), w_k = mean of g_k over space;
    - Grad-CAM++: likewise, w_k = Σ_ij α ReLU(g_k), α = g_k² / (2 g_k² + g_k³ Σ_ab A_k);
    - Layer-CAM: ReLU(Σ_k ReLU(g_k) A_k), location by location;
    - Score-CAM: ReLU(Σ_k w_k A_k), w = softmax over k of y(image ⊙ enlarged A_k scaled to [0, 1]).

    Hooks are removed and no gradient is left on any parameter, whatever happens.

    Args:
        method: which of the four.
        backbone: images → logits, in evaluation mode.
        layer: the module of `backbone` whose output is mapped; not negative.
        images: normalised.
        targets: classes that the maps are for.
        chunk: masked images that Score-CAM forwards at a time.

    Raises:
        ValueError: if the backbone is in training mode, whose batch statistics would make each
            map depend on the other images.

    Source: ICCV 2017; WACV 2018; TIP 2021; CVPRW 2020. Grad-CAM++'s exponential of the logit is
    left out, as is usual: y's higher derivatives are then powers of g. Score-CAM's maps are scaled
    before they are enlarged (the paper's after), and the image's own logit is what an increase is
    measured against, which the softmax cancels.
    """
    if backbone.training:
        raise ValueError("the backbone is in training mode; call eval() before taking maps")
    classes: list[int] = targets.tolist()
    if method == "scorecam":
        with ScoreCAM(backbone, layer, batch_size=chunk) as extract, torch.no_grad():
            backbone(images)
            return extract(class_idx=classes, normalized=False)[0]
    with (
        torch.enable_grad(),
        _differentiable(layer),
        _GRADIENT_METHODS[method](backbone, layer) as extract,
    ):
        scores = backbone(images.detach())
        return extract(class_idx=classes, scores=scores, normalized=False)[0].detach()


class _GradCAMpp(GradCAMpp):
    """torchcam's extractor with the paper's weights.

    torchcam 0.5 divides a copy by the denominator of α and so uses the numerator alone.
    """

    def _get_weights(
        self, class_idx: int | list[int], scores: Tensor, *_: Any, **options: Any
    ) -> list[Tensor]:
        self._backprop(scores, class_idx, **options)
        weights: list[Tensor] = []
        for gradient, maps in zip(self.hook_g, self.hook_a, strict=True):
            positive = gradient.relu()  # elsewhere the weight is zero, whatever α is
            alpha = 1 / (2 + positive * maps.sum((2, 3), keepdim=True))
            weights.append((alpha * positive).sum((2, 3)))
        return weights


_GRADIENT_METHODS: dict[str, type[Any]] = {
    "gradcam": GradCAM,
    "gradcam_pp": _GradCAMpp,
    "layercam": LayerCAM,
}


@contextmanager
def _differentiable(layer: nn.Module) -> Generator[None]:
    """Begin the graph at the layer's output, so that nothing before it is kept if it is frozen."""

    def watch(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        output.requires_grad_()

    hook = layer.register_forward_hook(watch)
    try:
        yield
    finally:
        hook.remove()
