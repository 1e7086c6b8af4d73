"""What the training loop knows of a method: one step's loss, and the scalars worth a curve."""

from abc import abstractmethod
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from lico.data.loading import Batch


class StepLoss(NamedTuple):
    """The loss to minimise and its parts.

    Attributes:
        loss: with a graph.
        logits: of the training images, for the accuracy on the way.
        scalars: detached parts and diagnostics by name.
    """

    loss: Float[Tensor, ""]
    logits: Float[Tensor, "batch classes"]
    scalars: dict[str, Tensor]


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
