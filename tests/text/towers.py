"""Small text towers with random weights, and open_clip's own way through them."""

from typing import Any

import open_clip
import torch
from open_clip.transformer import QuickGELU, TextTransformer
from torch import Tensor

from lico.text.encoder import TextEncoder
from lico.text.labels import LabelTokens

NAMES = ["goldfish", "tiger shark", "american black bear", "kuvasz"]


OTHER_TOWERS: dict[str, dict[str, Any]] = {
    "not causal": {"no_causal_mask": True},
    "sees no padding": {"no_causal_mask": True, "use_pad_mask": True},
    "end token": {"embed_cls": True, "context_length": 76, "correct_cls_mask": True},
    "first end token": {"embed_cls": True, "context_length": 76},
    "other blocks": {"qk_norm": True},
}


def tower(length: int = 77, width: int = 16, **options: Any) -> TextTransformer:
    torch.manual_seed(5)
    usual = {"context_length": length, "act_layer": QuickGELU, "pool_type": "argmax"}
    built = TextTransformer(width=width, heads=2, layers=3, output_dim=12, **(usual | options))
    return built.double().eval()


def own_outputs(built: TextTransformer, tokens: Tensor) -> Tensor:
    """All outputs of tokenised sentences, with open_clip's own embedding and masks."""
    hidden, mask = built._embeds(tokens)
    hidden = built.transformer(hidden, attn_mask=mask)
    outputs = built.ln_final(hidden) @ built.text_projection
    return outputs[:, : tokens.shape[1]]


def encoder(built: TextTransformer) -> TextEncoder:
    known = torch.ones(built.vocab_size, dtype=torch.bool)
    return TextEncoder(built, open_clip.SimpleTokenizer(), known)


def full_forward(built: TextTransformer, embeddings: Tensor) -> Tensor:
    """All outputs of whole sequences, as open_clip's forward makes them before pooling."""
    hidden = embeddings + built.positional_embedding
    hidden = built.transformer(hidden, attn_mask=built.attn_mask)
    return built.ln_final(hidden) @ built.text_projection


def literal_prompts(
    built: TextTransformer, labels: LabelTokens, context: Tensor, position: str
) -> Tensor:
    """[classes, 77, width]: each prompt laid out token by token and padded."""
    tokenizer = open_clip.SimpleTokenizer()
    rows: list[Tensor] = []
    for index, label in enumerate(labels.tokens):
        vectors = list(context[index % len(context)])
        name = [built.token_embedding.weight[token] for token in label]
        middle = [*vectors, *name] if position == "end" else [*name, *vectors]
        start = built.token_embedding.weight[tokenizer.sot_token_id]
        end = built.token_embedding.weight[tokenizer.eot_token_id]
        pad = built.token_embedding.weight[0]
        row = [start, *middle, end]
        rows.append(torch.stack([*row, *[pad] * (built.context_length - len(row))]))
    return torch.stack(rows)
