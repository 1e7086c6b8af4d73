"""The baseline: cross-entropy alone."""

from torch import nn

from lico.data.loading import Batch
from lico.data_parallel import parts_of
from lico.methods.step import StepLoss, TrainingMethod, cross_entropy


class CrossEntropy(TrainingMethod):
    """L = CE(f(x), y)."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, batch: Batch, step: int) -> StepLoss:
        """The loss of one batch."""
        parts = parts_of(batch.labels, batch.whole)
        logits, _ = self.classifier(batch.images)
        loss = parts.share * cross_entropy(logits, batch.labels)
        return StepLoss(loss, logits.detach(), {"cross_entropy": loss.detach()}, parts.share)
