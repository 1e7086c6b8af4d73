"""Language-image consistency: cross-entropy, manifold matching and optimal transport."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the field's name)

from lico.data.loading import Batch
from lico.methods.step import StepLoss, TrainingMethod

Match = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
Transport = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, int]]


class LanguageImageConsistency(TrainingMethod):
    """L = CE + α MM + β OT (eq. 6); a term of weight 0 is not computed.

    After training the classifier alone is kept.
    """

    def __init__(
        self,
        classifier: nn.Module,
        text: nn.Module,
        match: Match,
        transport: Transport,
        *,
        alpha: float,
        beta: float,
        pooled: bool,
        temperature: "Temperature",
    ) -> None:
        """Take the parts.

        Args:
            classifier: gives logits and feature maps.
            text: (distinct classes, step) → projected tokens [classes, tokens, locations] and
                one row a class for manifold matching; holds context, projection and encoder.
            match: (image rows, class rows, row of each image, scale) → loss.
            transport: (feature maps, tokens) → loss, marginal error, iterations.
            alpha: weight of manifold matching.
            beta: weight of optimal transport.
            pooled: match pooled features instead of flattened maps.
            temperature: of manifold matching; trained.
        """
        super().__init__()
        self.classifier = classifier
        self.text = text
        self.match = match
        self.transport = transport
        self.alpha = alpha
        self.beta = beta
        self.pooled = pooled
        self.temperature = temperature

    def forward(self, batch: Batch, step: int) -> StepLoss:
        """The loss of one batch; each distinct class of it is encoded once."""
        logits, maps = self.classifier(batch.images)
        cross_entropy = F.cross_entropy(logits, batch.labels)
        loss, scalars = cross_entropy, {"cross_entropy": cross_entropy.detach()}
        classes, rows = batch.labels.unique(return_inverse=True)
        tokens, matched = self.text(classes, step)
        maps = maps.flatten(2)
        if self.alpha:
            images = maps.mean(2) if self.pooled else maps.flatten(1)
            matching = self.match(images, matched, rows, self.temperature.scale())
            loss = loss + self.alpha * matching
            scalars |= {
                "manifold_matching": matching.detach(),
                "temperature": self.temperature.value.detach().clone(),
            }
        if self.beta:
            transport, marginal_error, iterations = self.transport(maps, tokens[rows])
            loss = loss + self.beta * transport
            scalars |= {
                "optimal_transport": transport.detach(),
                "marginal_error": marginal_error,
                "sinkhorn_iterations": torch.tensor(float(iterations)),
            }
        return StepLoss(loss, logits.detach(), scalars)

    def after_step(self) -> None:
        """Clamp the temperature."""
        self.temperature.clamp()


class Temperature(nn.Module):
    """The trainable temperature t of manifold matching.

    "exponential": distances are multiplied by exp(t), t clamped to [0, log 100]; "divisor": they
    are divided by t, as published first.
    """

    def __init__(self, initial: float, ceiling: float, form: str) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(initial))
        self.ceiling = ceiling
        self.form = form

    def scale(self) -> Tensor:
        """What the distances are multiplied by."""
        return self.value.exp() if self.form == "exponential" else 1 / self.value

    @torch.no_grad()
    def clamp(self) -> None:
        """Keep t in its range."""
        if self.form == "exponential":
            self.value.clamp_(0, self.ceiling)
