"""A frozen CLIP text transformer that gives the output of every token."""

from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn


class Tokenizer(Protocol):
    """What is needed of open_clip's byte-pair tokenizer."""

    sot_token_id: int
    eot_token_id: int

    def encode(self, text: str) -> list[int]: ...


class TextEncoder(nn.Module):
    """The causal text tower of an open_clip model, its weights frozen.

    Every token's output is kept, not only that of EOT. Because the tower is causal, a sequence
    may be cut behind the last token that is read, and several endings of one beginning may lie
    in one sequence, each at its own positions and blind to the others.
    """

    def __init__(
        self, tower: nn.Module, tokenizer: Tokenizer, known: Bool[Tensor, " vocab"]
    ) -> None:
        """Take the tower's parts.

        Args:
            tower: open_clip's CLIP or TextTransformer, on the CPU.
            tokenizer: the one that it was trained with.
            known: which rows of its vocabulary carry meaning.

        Raises:
            ValueError: if the tower is not causal.
        """
        super().__init__()
        if getattr(tower, "attn_mask", None) is None or getattr(tower, "cls_emb", None) is not None:
            raise ValueError(
                "the text tower is not causal; choose a CLIP model with a causal text transformer, "
                "such as text.model=ViT-B-32-quickgelu"
            )
        self.tokenizer = tokenizer
        self.known = known
        self.embedding = tower.get_submodule("token_embedding")
        self.transformer = tower.get_submodule("transformer")
        self.ln_final = tower.get_submodule("ln_final")
        self.positions = tower.get_parameter("positional_embedding")
        self.projection = tower.get_parameter("text_projection")
        self.requires_grad_(requires_grad=False)
        self.eval()

    @property
    def width(self) -> int:
        """Width of a token's embedding, and so of a context vector."""
        return self.positions.shape[1]

    @property
    def output_width(self) -> int:
        """Width of a token's output."""
        return self.projection.shape[1]

    @property
    def context_length(self) -> int:
        """The longest sequence, in tokens."""
        return self.positions.shape[0]

    def embed(self, tokens: Int64[Tensor, "*rows length"]) -> Float[Tensor, "*rows length width"]:
        """Token embeddings without positions."""
        return self.embedding(tokens)

    def forward(
        self,
        embeddings: Float[Tensor, "rows length width"],
        positions: Int64[Tensor, " length"] | None = None,
        visible: Bool[Tensor, "length length"] | None = None,
    ) -> Float[Tensor, "rows length output"]:
        """Projected outputs of all tokens.

        Args:
            embeddings: of the tokens and context vectors, without positions.
            positions: the position of each token; 0, 1, 2 … unless given.
            visible: which tokens (columns) each token (row) sees; itself and all before it
                unless given.
        """
        length = embeddings.shape[1]
        table = self.positions[:length] if positions is None else self.positions[positions]
        if visible is None:
            visible = torch.ones(length, length, dtype=torch.bool, device=table.device).tril()
        mask = torch.zeros(length, length, dtype=table.dtype, device=table.device)
        mask.masked_fill_(~visible, float("-inf"))
        hidden = self.transformer(embeddings.to(table.dtype) + table, attn_mask=mask)
        return self.ln_final(hidden) @ self.projection

    def train(self, mode: bool = True) -> "TextEncoder":
        """Stay in evaluation mode: the encoder is frozen."""
        return super().train(False)
