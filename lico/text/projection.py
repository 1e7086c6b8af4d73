"""From prompts to what the losses compare: encode, project, choose."""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lico.randomness import torch_generator
from lico.text.prompts import Prompts, joined


class ProjectedPrompts(nn.Module):
    """Prompts through the encoder and the projection MLP, G = MLP(tokens).

    The MLP is Linear(D, hidden) → ReLU → Linear(hidden, locations), for each token.
    """

    def __init__(
        self,
        prompts: Prompts,
        locations: int,
        hidden_width: int,
        *,
        tokens: Literal["prompt", "rolled"],
        roll: Literal["alike", "apart"],
        pooled: bool,
        shuffle_seed: int | None,
    ) -> None:
        """Take the prompts and how they are read.

        Args:
            prompts: trainable prompts with their frozen encoder.
            locations: d' = H'·W' of the feature maps.
            hidden_width: of the MLP.
            tokens: read all tokens of one prompt, or the EOT outputs of rolled contexts.
            roll: copies rolled alike, or apart (`Prompts.rolled`).
            pooled: manifold matching sees the EOT output before the MLP, not all tokens after.
            shuffle_seed: permute the context vectors at each step with this seed; None: never.
        """
        super().__init__()
        self.prompts = prompts
        width = prompts.output_width
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden_width), nn.ReLU(), nn.Linear(hidden_width, locations)
        )
        self.tokens = tokens
        self.roll: Literal["alike", "apart"] = roll
        self.pooled = pooled
        self.shuffle_seed = shuffle_seed

    @property
    def texts(self) -> int:
        """How many texts there are."""
        return len(self.prompts.lengths)

    def forward(
        self, classes: Int64[Tensor, " classes"], order: Int64[Tensor, " context"] | None = None
    ) -> tuple[Float[Tensor, "classes tokens locations"], Float[Tensor, "classes width"]]:
        """Projected tokens of some classes, and one row a class for manifold matching.

        Args:
            classes: indices, each once.
            order: a permutation of the context vectors, for one prompt's tokens.
        """
        if self.tokens == "rolled":
            outputs = self.prompts.rolled(classes, self.roll)
            distinct = outputs[:, :1] if self.roll == "alike" else outputs
            projected = self._projected(distinct).expand(-1, outputs.shape[1], -1)
            eot = outputs[:, 0] if self.pooled else None
        else:
            pieces = self.prompts.pieces(classes, order)
            projected = joined([self._projected(each) for each in pieces], len(classes))
            eot = self.prompts.eot(joined(pieces, len(classes)), classes) if self.pooled else None
        return projected, projected.flatten(1) if eot is None else eot

    def order(self, step: int, device: torch.device) -> Tensor | None:
        """One permutation of the context vectors for the whole step; never in evaluation."""
        if self.shuffle_seed is None or not self.training:
            return None
        random = torch_generator("shuffle", self.shuffle_seed, step)
        return torch.randperm(self.prompts.context.shape[1], generator=random).to(
            device, non_blocking=True
        )

    def _projected(
        self, outputs: Float[Tensor, "rows tokens width"]
    ) -> Float[Tensor, "rows tokens locations"]:
        return self.mlp(outputs.to(self.prompts.context.dtype))
