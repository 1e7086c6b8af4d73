"""The published way to compute the same step: a prompt of 77 tokens for each image, pairs of
differences, Sinkhorn as it is written, with autograd through all of it.
"""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)

from lico.data.loading import Batch
from lico.methods.lico import LanguageImageConsistency
from lico.methods.step import StepLoss, TrainingMethod
from lico.text.encoder import TextEncoder


class PublishedWay(TrainingMethod):
    """The loss of the reproduction study's code, for one context and the label at the end.

    The parts that are trained are those of a method of ours; the text tower is as loaded, its
    weights with gradients that nobody uses.
    """

    def __init__(
        self, method: LanguageImageConsistency, encoder: TextEncoder, labels: list[list[int]]
    ) -> None:
        """Take the parts.

        Args:
            method: of reading `repro`.
            encoder: whose weights get gradients from now on.
            labels: token ids of each class's name.
        """
        super().__init__()
        self.method = method
        self.encoder = encoder.requires_grad_(requires_grad=True)
        self.prompts = method.get_submodule("text.prompts")
        self.context = self.prompts.get_parameter("context")
        room = encoder.context_length - 1 - self.context.shape[1]
        eot = encoder.tokenizer.eot_token_id
        rows = [[*tokens, eot, *[0] * (room - len(tokens) - 1)] for tokens in labels]
        self.read = self.context.shape[1] + max(len(tokens) for tokens in labels) + 1
        self.endings: Tensor
        self.register_buffer("endings", torch.tensor(rows), persistent=False)

    def forward(self, batch: Batch, step: int) -> StepLoss:
        """The loss of one batch."""
        logits, maps = self.method.classifier(batch.images)
        tokens = self.method.get_submodule("text.mlp")(self._outputs(batch.labels))
        maps = maps.flatten(2)
        scale = self.method.temperature.scale()
        loss = F.cross_entropy(logits, batch.labels)
        loss = loss + self.method.alpha * matching(maps.flatten(1), tokens.flatten(1), scale)
        loss = loss + self.method.beta * transport(maps, tokens)
        return StepLoss(loss, logits.detach(), {})

    def _outputs(self, labels: Int64[Tensor, " batch"]) -> Float[Tensor, "batch tokens width"]:
        start = torch.full((len(labels), 1), self.encoder.tokenizer.sot_token_id)
        parts = [
            self.encoder.embed(start.to(labels.device)),
            self.context.expand(len(labels), -1, -1),
            self.encoder.embed(self.endings[labels]),
        ]
        return self.encoder(torch.cat(parts, 1))[:, 1 : 1 + self.read]


def matching(
    images: Float[Tensor, "batch width"],
    prompts: Float[Tensor, "batch text_width"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Manifold matching by all differences, [batch, batch, width]."""

    def log_adjacency(rows: Tensor) -> Tensor:
        rows = F.normalize(rows, dim=1)
        distances = torch.linalg.vector_norm(rows[:, None] - rows[None], dim=2)
        return torch.log_softmax(-distances * scale, dim=1)

    return F.kl_div(
        log_adjacency(images), log_adjacency(prompts), log_target=True, reduction="batchmean"
    )


def transport(
    maps: Float[Tensor, "batch n width"],
    tokens: Float[Tensor, "batch m width"],
    epsilon: float = 1e-4,
    iterations: int = 100,
    threshold: float = 1e-3,
) -> Float[Tensor, ""]:
    """Optimal transport by all differences and logarithms, unrolled."""
    x, y = F.normalize(maps, dim=2), F.normalize(tokens, dim=2)
    cost = (x[:, :, None] - y[:, None]).square().sum(3)
    n, m = cost.shape[1:]
    u, v = cost.new_zeros(len(cost), n), cost.new_zeros(len(cost), m)

    def scores() -> Tensor:
        return (u[:, :, None] + v[:, None] - cost) / epsilon

    for _ in range(iterations):
        before = u
        u = u + epsilon * (-math.log(n) - torch.logsumexp(scores(), 2))
        v = v + epsilon * (-math.log(m) - torch.logsumexp(scores(), 1))
        if (u - before).abs().sum(1).mean() < threshold:
            break
    return (scores().exp() * cost).sum((1, 2)).mean()
