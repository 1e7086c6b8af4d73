"""Language-image consistency: cross-entropy, manifold matching and optimal transport."""

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from lico.data.loading import Batch
from lico.data_parallel import Parts, gather, gather_for_all, parts_of
from lico.distinct import distinct
from lico.methods.step import StepLoss, TrainingMethod, cross_entropy


class Transported(Protocol):
    """What is known of a transport problem: loss and diagnostics."""

    @property
    def cost(self) -> Tensor: ...
    @property
    def marginal_error(self) -> Tensor: ...
    @property
    def iterations(self) -> Tensor: ...
    @property
    def agreement(self) -> Tensor | None: ...


class Transport(Protocol):
    """Feature maps and tokens of one process's part of a batch to what is known of transport."""

    def __call__(self, feature_maps: Tensor, tokens: Tensor, *, parts: Parts) -> Transported: ...


class Texts(Protocol):
    """A module that gives projected tokens and matched rows of some texts, in one step."""

    @property
    def texts(self) -> int:
        """How many texts there are."""
        ...

    def __call__(self, texts: Tensor, step: int) -> tuple[Tensor, Tensor]: ...


Match = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class LanguageImageConsistency(TrainingMethod):
    """L = CE + α MM + β OT (eq. 6); a term of weight 0 is not computed.

    After training the classifier alone is kept.
    """

    def __init__(
        self,
        classifier: nn.Module,
        text: Texts,
        match: Match,
        transport: Transport,
        temperature: "Temperature",
        *,
        alpha: float,
        beta: float,
        pooled: bool,
        autocast: bool = True,
        text_of_image: Int64[Tensor, " images"] | None = None,
    ) -> None:
        """Take the parts.

        Args:
            classifier: gives logits and feature maps.
            text: (distinct texts, step) → projected tokens [texts, tokens, locations] and one
                row a text for manifold matching; holds context, projection and encoder.
            match: (image rows, text rows, row of each image, scale) → loss.
            transport: (feature maps, tokens) → loss, marginal error, iterations.
            temperature: of manifold matching; trained.
            alpha: weight of manifold matching.
            beta: weight of optimal transport.
            pooled: match pooled features instead of flattened maps.
            autocast: follow the precision of training; otherwise all is in single precision.
            text_of_image: which text belongs to each image of the data set; None: that of its
                class.
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
        self.autocast = autocast
        self.text_of_image: Tensor | None
        self.register_buffer("text_of_image", text_of_image, persistent=False)

    def forward(self, batch: Batch, step: int) -> StepLoss:
        """The loss of one batch; each distinct text of it is encoded once."""
        if self.autocast:
            return self._loss(batch, step)
        with torch.autocast(batch.images.device.type, enabled=False):
            return self._loss(batch, step)

    def _loss(self, batch: Batch, step: int) -> StepLoss:
        """Manifold matching is about pairs: it is taken over the images of all processes, in each
        of them alike. The other terms are means over images.
        """
        parts = parts_of(batch.labels, batch.whole)
        texts, rows = distinct(gather(self._texts(batch), parts), self.text.texts)
        logits, maps = self.classifier(batch.images)
        terms = {"cross_entropy": parts.share * cross_entropy(logits, batch.labels)}
        weights = {"cross_entropy": 1.0}
        tokens, matched = self.text(texts, step)
        maps = maps.flatten(2)
        diagnostics: dict[str, Tensor] = {}
        if self.alpha:
            # locations in front of channels: no copy where maps lie channels last
            features = maps.mean(2) if self.pooled else maps.mT.flatten(1)
            images = gather_for_all(features, parts)
            terms["manifold_matching"] = self.match(images, matched, rows, self.temperature.scale())
            weights["manifold_matching"] = self.alpha
            diagnostics["temperature"] = self.temperature.value.detach().clone()
        if self.beta:
            transport = self.transport(maps, tokens[rows[parts.own]], parts=parts)
            terms["optimal_transport"] = parts.share * transport.cost
            weights["optimal_transport"] = self.beta
            diagnostics["marginal_error"] = parts.share * transport.marginal_error
            diagnostics["sinkhorn_iterations"] = transport.iterations
            if transport.agreement is not None:  # filled in by the backward pass
                names = ("unrolled_cosine", "unrolled_length_ratio")
                diagnostics |= dict(zip(names, transport.agreement, strict=True))
        loss = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        scalars = {name: term.detach() for name, term in terms.items()} | diagnostics
        return StepLoss(loss, logits.detach(), scalars, parts.share)

    def _texts(self, batch: Batch) -> Int64[Tensor, " batch"]:
        """Which text belongs to each image."""
        if self.text_of_image is None:
            return batch.labels
        if batch.indices is None:
            raise ValueError("captions need to know which images a batch has; load it with indices")
        return self.text_of_image[batch.indices]

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
