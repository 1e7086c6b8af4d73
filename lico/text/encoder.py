"""A CLIP text transformer that gives the output of every token."""

from typing import Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from lico.text.tower import CausalTower, is_plain


class Tokenizer(Protocol):
    """What is needed of open_clip's byte-pair tokenizer."""

    sot_token_id: int
    eot_token_id: int

    def encode(self, text: str) -> list[int]: ...


class TextEncoder(nn.Module):
    """The text tower of an open_clip model; every token's output is kept, not only that of EOT.

    Attributes:
        cuttable: whether a token's output depends on nothing behind it, so that a sequence may
            be cut behind the last token that is read. A tower that is not causal needs all.
    """

    def __init__(
        self, tower: nn.Module, tokenizer: Tokenizer, known: Bool[Tensor, " vocab"]
    ) -> None:
        """Take the tower.

        Args:
            tower: open_clip's CLIP or TextTransformer, on the CPU.
            tokenizer: the one that it was trained with.
            known: which rows of its vocabulary carry meaning.
        """
        super().__init__()
        self.tokenizer = tokenizer
        self.known = known
        self.embedding = tower.get_submodule("token_embedding")
        self.transformer = tower.get_submodule("transformer")
        self.ln_final = tower.get_submodule("ln_final")
        self.positions = tower.get_parameter("positional_embedding")
        self.projection: Tensor | nn.Module | None = getattr(tower, "text_projection", None)
        self.end: Tensor | None = getattr(tower, "cls_emb", None)
        self.heads: int = self.transformer.get_submodule("resblocks.0.attn").num_heads  # pyright: ignore[reportAttributeAccessIssue, reportAssignmentType]
        self.causal = getattr(tower, "attn_mask", None) is not None
        self.end_sees_first = not getattr(tower, "correct_cls_mask", False)
        self.sees_padding = not getattr(tower, "use_pad_mask", False)
        self.requires_grad_(requires_grad=False)
        self.eval()

    @property
    def cuttable(self) -> bool:
        """See the attributes."""
        return self.causal and self.end is None

    @property
    def width(self) -> int:
        """Width of a token's embedding, and so of a context vector."""
        return self.positions.shape[1]

    @property
    def output_width(self) -> int:
        """Width of a token's output."""
        if isinstance(self.projection, nn.Module):
            return self.projection.get_parameter("weight").shape[0]
        return self.width if self.projection is None else self.projection.shape[1]

    @property
    def context_length(self) -> int:
        """The longest sequence, in tokens."""
        return self.positions.shape[0] - (self.end is not None)

    def embed(self, tokens: Int64[Tensor, "*rows length"]) -> Float[Tensor, "*rows length width"]:
        """Token embeddings without positions."""
        return self.embedding(tokens)

    def forward(
        self,
        embeddings: Float[Tensor, "rows length width"],
        lengths: Int64[Tensor, " rows"] | None = None,
    ) -> Float[Tensor, "rows length output"]:
        """Projected outputs of all tokens, by the tower's own modules.

        Args:
            embeddings: of whole sequences, without positions; if `cuttable`, of any length.
            lengths: tokens of each sequence before its padding; needed unless `cuttable`.
        """
        hidden = embeddings.to(self.positions.dtype)
        if self.end is not None:
            hidden = torch.cat([hidden, self.end.expand(len(hidden), 1, -1)], dim=1)
        hidden = hidden + self.positions[: hidden.shape[1]]
        hidden = self.transformer(hidden, attn_mask=self._mask(hidden, lengths))
        hidden = self.ln_final(hidden)[:, : embeddings.shape[1]]
        if self.projection is None:
            return hidden
        if isinstance(self.projection, nn.Module):
            return self.projection(hidden)
        return hidden @ self.projection

    def fast(self) -> CausalTower | None:
        """The tower made for few tokens, with the same outputs; None where its kind is unknown."""
        blocks = list(self.transformer.get_submodule("resblocks").children())
        if not (
            self.cuttable and isinstance(self.projection, Tensor) and all(map(is_plain, blocks))
        ):
            return None
        norm = self.ln_final.get_parameter("weight"), self.ln_final.get_parameter("bias")
        return CausalTower(blocks, self.positions, norm, self.projection)

    def _mask(
        self, hidden: Float[Tensor, "rows length width"], lengths: Int64[Tensor, " rows"] | None
    ) -> Tensor | None:
        """What open_clip adds to the scores: -inf where a token must not look."""
        size = hidden.shape[1]
        visible = torch.ones(size, size, dtype=torch.bool, device=hidden.device)
        if self.causal:
            visible = visible.tril()
        if self.end is not None or not self.sees_padding:
            visible = visible & self._unpadded(size, lengths)[:, None]
        elif not self.causal:
            return None
        mask = torch.zeros(visible.shape, dtype=hidden.dtype, device=hidden.device)
        mask.masked_fill_(~visible, float("-inf"))
        if mask.ndim == 3:
            return mask.repeat_interleave(self.heads, 0)
        return mask

    def _unpadded(
        self, size: int, lengths: Int64[Tensor, " rows"] | None
    ) -> Bool[Tensor, "rows size"]:
        """Which tokens are no padding, the end token included.

        Weights trained with open_clip's first CoCa expect the end token's place in front.
        """
        if lengths is None:
            raise ValueError("this text tower looks at the padding; give the lengths")
        place = torch.arange(size, device=lengths.device)
        if self.end is None:
            return place < lengths[:, None]
        if self.end_sees_first:
            return place <= lengths[:, None]
        return (place < lengths[:, None]) | (place == size - 1)

    def train(self, mode: bool = True) -> "TextEncoder":
        """Stay in evaluation mode: the encoder is frozen."""
        return super().train(False)
