"""The baseline: cross-entropy alone."""

from torch import nn
from torch.nn import functional as F  # noqa: N812 (the field's name)

from lico.data.loading import Batch
from lico.methods.step import StepLoss, TrainingMethod


class CrossEntropy(TrainingMethod):
    """L = CE(f(x), y)."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, batch: Batch, step: int) -> StepLoss:
        """The loss of one batch."""
        logits, _ = self.classifier(batch.images)
        loss = F.cross_entropy(logits, batch.labels)
        return StepLoss(loss, logits.detach(), {"cross_entropy": loss.detach()})
