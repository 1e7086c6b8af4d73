"""What the training loop knows of a method: one step's loss, and the scalars worth a curve."""

from abc import abstractmethod
from typing import NamedTuple

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the field's name)

from lico.data.loading import Batch


class StepLoss(NamedTuple):
    """The loss to minimise and its parts.

    Attributes:
        loss: with a graph.
        logits: of the training images, for the accuracy on the way.
        scalars: detached parts and diagnostics by name.
        share: what a mean over these images counts for in the mean over processes, 1 if they all
            have equally many. Loss and scalars are multiplied by it already, so that their mean
            over processes is that of the whole batch.
    """

    loss: Float[Tensor, ""]
    logits: Float[Tensor, "batch classes"]
    scalars: dict[str, Tensor]
    share: float = 1.0


class TrainingMethod(nn.Module):
    """Turns a batch into a loss; its own parameters are trained with the network."""

    @abstractmethod
    def forward(self, batch: Batch, step: int) -> StepLoss:
        """The loss of one batch.

        Args:
            batch: normalised images and labels.
            step: of the whole training, from 0; the name of the step's randomness.
        """

    def after_step(self) -> None:
        """Bring the method's own parameters back into their ranges."""


def cross_entropy(
    logits: Float[Tensor, "batch classes"], labels: Int64[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Cross-entropy, the mean over these images.

    Raises:
        ValueError: if a label is no class; on a CPU alone, since a GPU would have to wait.
    """
    if labels.device.type == "cpu" and labels.numel():
        low, high = (int(each) for each in labels.aminmax())
        if low < 0 or high >= logits.shape[1]:
            raise ValueError(
                f"labels go from {low} to {high}, but the classifier has {logits.shape[1]} "
                f"classes; they must be in 0 to {logits.shape[1] - 1}"
            )
    return F.cross_entropy(logits, labels)
