"""Contrastive Grad-CAM consistency beside cross-entropy (CGC, CVPR 2022)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lico.data.loading import Batch
from lico.data_parallel import Parts, parts_of
from lico.methods.step import StepLoss, TrainingMethod, cross_entropy

GradCam = Callable[[Tensor, Tensor, Tensor], Tensor]
Contrast = Callable[[Batch, Tensor, Tensor, Parts], Tensor]


class ContrastiveGradCam(TrainingMethod):
    """L = CE(f(x_e)) + CE(f(x)) + CE(f(x_a)) + λ · InfoNCE of Grad-CAM maps of x and x_a.

    x_e is the usual augmented view, x the plain view, x_a a crop of the plain view. Both maps
    are for the class that the network predicts on x.
    """

    def __init__(
        self, classifier: nn.Module, gradcam: GradCam, contrast: Contrast, weight: float
    ) -> None:
        """Take the parts.

        Args:
            classifier: gives logits and feature maps.
            gradcam: (logits, feature maps, classes) → maps with a graph.
            contrast: (batch, maps of the plain views, maps of the crops, parts of the batch) →
                loss.
            weight: λ.
        """
        super().__init__()
        self.classifier = classifier
        self.gradcam = gradcam
        self.contrast = contrast
        self.weight = weight

    def forward(self, batch: Batch, step: int) -> StepLoss:
        """The loss of one batch; it needs the paired views."""
        if batch.views is None:
            raise ValueError("CGC needs paired views; load the data with paired_views=True")
        parts = parts_of(batch.labels, batch.whole)
        logits, _ = self.classifier(batch.images)
        plain_logits, plain_maps = self.classifier(batch.views.plain)
        view_logits, view_maps = self.classifier(batch.views.cropped)
        predicted = plain_logits.argmax(1)
        consistency = self.contrast(
            batch,
            self.gradcam(plain_logits, plain_maps, predicted),
            self.gradcam(view_logits, view_maps, predicted),
            parts,
        )
        every = (logits, plain_logits, view_logits)
        total = torch.stack([cross_entropy(each, batch.labels) for each in every]).sum()
        terms = {"cross_entropy": parts.share * total, "contrast": parts.share * consistency}
        loss = terms["cross_entropy"] + self.weight * terms["contrast"]
        scalars = {name: term.detach() for name, term in terms.items()}
        return StepLoss(loss, logits.detach(), scalars, parts.share)
