"""Language-image consistency: cross-entropy, manifold matching and optimal transport."""

from collections.abc import Callable
from typing import Protocol, cast

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from lico.cuda_graphs import Replayed
from lico.data.loading import Batch
from lico.data_parallel import Parts, gather, gather_for_all, parts_of
from lico.distinct import distinct, fixed_shapes
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
    """Trainable texts (`lico.text.projection.ProjectedPrompts`)."""

    @property
    def texts(self) -> int:
        """How many there are."""
        ...

    def order(self, step: int, device: torch.device) -> Tensor | None:
        """Of the context vectors in a step; None: as they are."""
        ...

    def __call__(self, texts: Tensor, order: Tensor | None) -> tuple[Tensor, Tensor]:
        """Projected tokens of some texts and their rows for manifold matching."""
        ...


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
        cuda_graphs: bool = False,
    ) -> None:
        """Take the parts.

        Args:
            classifier: gives logits and feature maps.
            text: (distinct texts, order of the context) → projected tokens [texts, tokens,
                locations] and one row a text for manifold matching; a module that holds context,
                projection and encoder.
            match: (image rows, text rows, row of each image, scale) → loss.
            transport: (feature maps, tokens) → loss, marginal error, iterations.
            temperature: of manifold matching; trained.
            alpha: weight of manifold matching.
            beta: weight of optimal transport.
            pooled: match pooled features instead of flattened maps.
            autocast: follow the precision of training; otherwise all is in single precision.
            text_of_image: which text belongs to each image of the data set; None: that of its
                class.
            cuda_graphs: on a CUDA device replay all that is not the classifier as CUDA graphs,
                captured in the first step; not in several processes.
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
        trained = [cast("nn.Module", text), temperature]
        self.replayed = Replayed(self._consistency, trained) if cuda_graphs else None

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
        logits, maps = self.classifier(batch.images)
        scalars = {"cross_entropy": parts.share * cross_entropy(logits, batch.labels)}
        order = self.text.order(step, maps.device)
        tensors = maps, self._texts(batch), *([] if order is None else [order])
        if self.replayed and parts.alone and fixed_shapes(maps.device):
            scalars |= self.replayed(*tensors)
        else:
            scalars |= self._consistency(*tensors, parts=parts)
        weights = {
            "cross_entropy": 1.0,
            "manifold_matching": self.alpha,
            "optimal_transport": self.beta,
        }
        terms = [weight * scalars[name] for name, weight in weights.items() if name in scalars]
        known = {name: each.detach() for name, each in scalars.items()}
        return StepLoss(torch.stack(terms).sum(), logits.detach(), known, parts.share)

    def _consistency(
        self, maps: Tensor, texts: Tensor, order: Tensor | None = None, parts: Parts | None = None
    ) -> dict[str, Tensor]:
        """The terms between images and texts, and diagnostics: a function of tensors alone.

        Args:
            maps: feature maps [part, channels, height, width].
            texts: of each image of the part.
            order: of the context vectors.
            parts: how the batch is shared out; None: it is not.
        """
        parts = parts or Parts((len(texts),))
        chosen, rows = distinct(gather(texts, parts), self.text.texts)
        tokens, matched = self.text(chosen, order)
        maps = maps.flatten(2)
        found: dict[str, Tensor] = {}
        if self.alpha:
            # locations in front of channels: no copy where maps lie channels last
            features = maps.mean(2) if self.pooled else maps.mT.flatten(1)
            images = gather_for_all(features, parts)
            scale = self.temperature.scale()
            found["manifold_matching"] = self.match(images, matched, rows, scale)
            found["temperature"] = self.temperature.value.detach().clone()
        if self.beta:
            transport = self.transport(maps, tokens[rows[parts.own]], parts=parts)
            found["optimal_transport"] = parts.share * transport.cost
            found["marginal_error"] = parts.share * transport.marginal_error
            found["sinkhorn_iterations"] = transport.iterations
            if transport.agreement is not None:  # filled in by the backward pass
                names = ("unrolled_cosine", "unrolled_length_ratio")
                found |= dict(zip(names, transport.agreement, strict=True))
        return found

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
