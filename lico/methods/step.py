"""What the training loop knows of a method: one step's loss, and the scalars worth a curve."""

from typing import NamedTuple, Protocol

from jaxtyping import Float
from torch import Tensor

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


class TrainingMethod(Protocol):
    """A module that turns a batch into a loss; its own parameters are trained with the network."""

    def __call__(self, batch: Batch, step: int) -> StepLoss: ...

    def after_step(self) -> None:
        """Bring the method's own parameters back into their ranges."""
        ...
