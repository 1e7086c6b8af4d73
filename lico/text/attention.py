"""Attention of few tokens among each other, forward and backward by plain matrix products.

On a processor torch's own routine is made for long sequences: it cuts them into blocks, makes the
scores again on the way back, and is slow there in bfloat16.
"""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 (the field's name)


def attention(
    qkv: Float[Tensor, "tokens 3 heads width"],
    mask: Float[Tensor, "tokens tokens"],
    read: Int64[Tensor, " read"] | None = None,
) -> Float[Tensor, "queries heads width"]:
    """softmax(QKᵀ/√width + mask) V of each head, in single precision or better.

    Args:
        qkv: queries, keys and values of all tokens.
        mask: 0 where a token (row) sees another, -inf elsewhere; every token sees one at least.
        read: tokens whose outputs are wanted, each once; all if not given.
    """
    mask = mask if read is None else mask[read]
    if qkv.device.type == "cpu":
        return _Attention.apply(qkv, mask, read)  # pyright: ignore[reportReturnType]
    query, key, value = (each.transpose(0, 1)[None] for each in qkv.unbind(1))
    query = query if read is None else query[:, :, read]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)[0].transpose(0, 1)


class _Attention(torch.autograd.Function):
    """The weights of all heads are kept; there are few."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, mask: Tensor, read: Tensor | None) -> Tensor:
        q, k, v = _by_head(qkv, read)
        scale = q.shape[2] ** -0.5
        scores = torch.baddbmm(mask.to(q.dtype).expand(len(q), -1, -1), q, k.mT, alpha=scale)
        weights = scores.softmax(2)
        ctx.save_for_backward(qkv, weights)
        ctx.scale, ctx.read = scale, read
        return torch.bmm(weights, v).transpose(0, 1).to(qkv.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        qkv, weights = ctx.saved_tensors
        q, k, v = _by_head(qkv, ctx.read)
        grad = grads[0].transpose(0, 1).to(q.dtype)
        of_scores = torch.bmm(grad, v.mT)
        of_scores = torch.ops.aten._softmax_backward_data(of_scores, weights, 2, q.dtype)  # noqa: SLF001 (no public name)
        of_scores.mul_(ctx.scale)
        found = torch.empty_like(qkv) if ctx.read is None else torch.zeros_like(qkv)
        of_q, of_k, of_v = (each.transpose(0, 1) for each in found.unbind(1))
        read = slice(None) if ctx.read is None else ctx.read
        of_q[:, read] = torch.bmm(of_scores, k).to(qkv.dtype)
        of_k.copy_(torch.bmm(of_scores.mT, q))
        of_v.copy_(torch.bmm(weights.mT, grad))
        return found, None, None


def _by_head(qkv: Tensor, read: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (those that are read), keys and values, in single precision or better."""
    precise = torch.promote_types(qkv.dtype, torch.float32)
    heads_first = qkv.permute(1, 2, 0, 3)
    query, key, value = heads_first.to(precise, memory_format=torch.contiguous_format)
    return query if read is None else query[:, read], key, value
