"""A frozen causal text transformer on sequences that share their beginnings.

The same numbers as open_clip's modules give, made for few tokens: all linear layers run on one
matrix of all tokens, keys and values of a beginning serve every sequence behind it, and what is
not read is not made in the last layer.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int64
from open_clip.transformer import QuickGELU, ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (the field's name)

from lico.text.attention import attention
from lico.text.frozen_matrix import frozen_matrix
from lico.text.segments import Layout, Past, Segment, Tiling, packed_mask, tilings

QUICK_GELU = 1.702  # x·σ(1.702x) = SiLU(1.702x) / 1.702: the factors go into the matrices
PACKED = 256  # so many tokens attend to all of them at once: fewer calls outweigh what is masked
MATRICES = ("qkv", "out", "expand", "contract")

Affine = tuple[Tensor, Tensor]
KeysValues = tuple[Tensor, Tensor]


class Plan(NamedTuple):
    """What all layers share.

    Attributes:
        sizes: tokens of each segment.
        tilings: of each segment.
        masks: of each segment, for all its tokens.
        last_masks: for those that are read.
        read: where the tokens that are read lie among all.
        packed: who sees whom among all tokens, if they are few; then there are no tiles.
    """

    sizes: list[int]
    tilings: list[Tiling]
    masks: list[Tensor | None]
    last_masks: list[Tensor | None]
    read: Int64[Tensor, " read"]
    packed: Float[Tensor, "tokens tokens"] | None


class CausalTower(nn.Module):
    """Transformer, final normalisation and projection; nothing in it is trained."""

    def __init__(
        self,
        blocks: Iterable[nn.Module],
        positions: Float[Tensor, "length width"],
        norm: Affine,
        projection: Float[Tensor, "width output"],
    ) -> None:
        """Take the weights; where a factor can be folded into them, a copy is made.

        Args:
            blocks: the layers, each plain (`is_plain`).
            positions: position embeddings.
            norm: weight and bias of the final normalisation.
            projection: to the output.
        """
        super().__init__()
        self.layers = 0
        for number, block in enumerate(blocks):
            self.heads, self.epsilon, self.activation = _settings(block)
            for name, affine in _weights(block).items():
                self._keep(f"{name}_{number}", affine)
            self.layers = number + 1
        self._keep("norm", norm)
        self.positions: Tensor
        self.projection: Tensor
        self.register_buffer("positions", positions.detach(), persistent=False)
        self.register_buffer("projection", projection.detach().T.contiguous(), persistent=False)

    def forward(self, segments: list[Segment]) -> list[Float[Tensor, "rows read output"]]:
        """Projected outputs of the tokens that are read, segment by segment."""
        return self._run(segments)[0]

    @torch.no_grad()
    def past(
        self, embeddings: Float[Tensor, "rows length width"]
    ) -> tuple[Past, Float[Tensor, "rows length output"]]:
        """What sequences that never change leave for those behind them, and their own outputs."""
        (outputs,), kept = self._run([Segment(embeddings)])
        return Past(*(torch.stack(each) for each in zip(*kept, strict=True))), outputs

    def use(self, dtype: torch.dtype) -> "CausalTower":
        """Multiply matrices in this type; sums and normalisations keep that of the positions."""
        if self.projection.dtype != dtype:
            self.projection = self.projection.to(dtype)
            for name, each in list(self.named_buffers()):
                if name.startswith(MATRICES):
                    setattr(self, name, each.to(dtype))
        return self

    def _run(self, segments: list[Segment]) -> tuple[list[Tensor], list[KeysValues]]:
        """Outputs, and the first segment's keys and values in each layer."""
        device = self.positions.device.type
        if torch.is_autocast_enabled(device) and self.projection.dtype == self.positions.dtype:
            self.use(torch.get_autocast_dtype(device))
        with torch.autocast(device, enabled=False):
            layouts = tuple(each.layout for each in segments)
            plan = _plan(layouts, self.projection.device, self.projection.dtype)
            x = torch.cat([self._placed(each) for each in segments])
            kept: list[KeysValues] = []
            for layer in range(self.layers):
                x, keys_values = self._block(x, layer, segments, plan)
                kept.append(keys_values)
            outputs = frozen_matrix(self._normal(x, "norm"), self.projection, None)
        parts = outputs.split([len(each.embeddings) * each.reads for each in segments])
        shaped = [
            part.view(len(each.embeddings), each.reads, part.shape[1])
            for part, each in zip(parts, segments, strict=True)
        ]
        return shaped, kept

    def _placed(self, segment: Segment) -> Float[Tensor, "tokens width"]:
        end = segment.start + segment.embeddings.shape[1]
        return (segment.embeddings + self.positions[segment.start : end]).flatten(0, 1)

    def _block(
        self, x: Float[Tensor, "tokens width"], layer: int, segments: list[Segment], plan: Plan
    ) -> tuple[Float[Tensor, "_ width"], KeysValues]:
        """One layer; the last makes keys and values of all tokens, the rest of what is read."""
        last = layer + 1 == self.layers
        qkv = frozen_matrix(self._normal(x, f"norm_1_{layer}"), *self._affine(f"qkv_{layer}"))
        if plan.packed is None:
            mixed, keys_values = self._in_tiles(qkv, layer, segments, plan)
        else:
            read = plan.read if last else None
            mixed, keys_values = self._in_one(qkv, segments[0], plan.packed, read)
        x = x[plan.read] if last else x
        x = x + frozen_matrix(mixed, *self._affine(f"out_{layer}"))
        wide = frozen_matrix(self._normal(x, f"norm_2_{layer}"), *self._affine(f"expand_{layer}"))
        x = x + frozen_matrix(self.activation(wide), *self._affine(f"contract_{layer}"))
        return x, keys_values

    def _in_one(
        self,
        qkv: Float[Tensor, "tokens qkv"],
        first: Segment,
        mask: Float[Tensor, "tokens tokens"],
        read: Int64[Tensor, " read"] | None,
    ) -> tuple[Float[Tensor, "_ width"], KeysValues]:
        """Attention of all tokens at once; only those that are read look, if that is known."""
        each = qkv.view(len(qkv), 3, self.heads, -1)
        rows, length, _ = first.embeddings.shape
        _, keys, values = each[: rows * length].unflatten(0, (rows, -1)).unbind(2)
        return attention(each, mask, read).flatten(1), (keys, values)

    def _in_tiles(
        self, qkv: Float[Tensor, "tokens qkv"], layer: int, segments: list[Segment], plan: Plan
    ) -> tuple[Float[Tensor, "_ width"], KeysValues]:
        """Attention of tiles of sequences, each with what comes before it."""
        queries, keys, values = zip(
            *(
                part.view(*each.embeddings.shape[:2], 3, self.heads, -1).unbind(2)
                for part, each in zip(qkv.split(plan.sizes), segments, strict=True)
            ),
            strict=True,
        )
        last = layer + 1 == self.layers
        mixed: list[Tensor] = []
        for index, (segment, tiles) in enumerate(zip(segments, plan.tilings, strict=True)):
            query, mask = queries[index], plan.masks[index]
            if last:
                query, mask = query[:, query.shape[1] - segment.reads :], plan.last_masks[index]
            if query.shape[1]:
                key, value = (tiles.problems(each[index]) for each in (keys, values))
                if segment.after is not None:
                    before = _before(segment.after, layer, keys, values)
                    key, value = (
                        torch.cat([tiles.before(each.to(key.dtype)), own], dim=2)
                        for each, own in zip(before, (key, value), strict=True)
                    )
                problems = tiles.problems(query)
                out = F.scaled_dot_product_attention(problems, key, value, attn_mask=mask)
                mixed.append(tiles.rows(out))
        return torch.cat(mixed), (keys[0], values[0])

    def _normal(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], *self._affine(name), self.epsilon)

    def _keep(self, name: str, affine: Affine) -> None:
        for part, each in zip(("weight", "bias"), affine, strict=True):
            self.register_buffer(f"{name}_{part}", each.detach(), persistent=False)

    def _affine(self, name: str) -> Affine:
        return self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias")


def is_plain(block: nn.Module) -> bool:
    """Whether a layer is of the kind that `CausalTower` computes."""
    return (
        type(block) is ResidualAttentionBlock
        and type(block.attn) is nn.MultiheadAttention
        and not hasattr(block, "ln_1_kv")
        and isinstance(block.ln_1, nn.LayerNorm)
        and type(block.get_submodule("mlp.gelu")) in (QuickGELU, nn.GELU)
    )


@lru_cache(maxsize=32)
def _plan(layouts: tuple[Layout, ...], device: torch.device, dtype: torch.dtype) -> Plan:
    """Made once for all steps whose texts have these lengths: a GPU would wait for its masks."""
    with torch.inference_mode(mode=False):
        like = torch.empty(0, dtype=dtype, device=device)
        sizes = [each.tokens for each in layouts]
        offsets = [sum(sizes[:index]) for index in range(len(sizes))]
        read = [
            offset + torch.arange(each.tokens).view(each.rows, -1)[:, -each.reads :].flatten()
            for offset, each in zip(offsets, layouts, strict=True)
            if each.reads
        ]
        where = torch.cat(read).to(device)
        if sum(sizes) <= PACKED and all(each.past is None for each in layouts):
            return Plan(sizes, [], [], [], where, packed_mask(layouts, like))
        tiles = tilings(layouts)
        masks = [each.mask(each.own, like) for each in tiles]
        last = [each.mask(layout.reads, like) for each, layout in zip(tiles, layouts, strict=True)]
        return Plan(sizes, tiles, masks, last, where, None)


def _before(
    after: Past | int, layer: int, keys: tuple[Tensor, ...], values: tuple[Tensor, ...]
) -> KeysValues:
    if isinstance(after, Past):
        return after.keys[layer], after.values[layer]
    return keys[after], values[after]


def _settings(block: nn.Module) -> tuple[int, float, nn.Module]:
    """Heads, the normalisations' ε, and the activation without its factors."""
    attention = cast("nn.MultiheadAttention", block.get_submodule("attn"))
    norm = cast("nn.LayerNorm", block.get_submodule("ln_1"))
    activation = block.get_submodule("mlp.gelu")
    quick = isinstance(activation, QuickGELU)
    return attention.num_heads, norm.eps, nn.SiLU() if quick else activation


def _weights(block: nn.Module) -> dict[str, Affine]:
    def pair(name: str) -> Affine:
        return block.get_parameter(f"{name}weight"), block.get_parameter(f"{name}bias")

    expand, contract = pair("mlp.c_fc."), pair("mlp.c_proj.")
    if isinstance(block.get_submodule("mlp.gelu"), QuickGELU):
        expand = expand[0] * QUICK_GELU, expand[1] * QUICK_GELU
        contract = contract[0] / QUICK_GELU, contract[1]
    return {
        "norm_1": pair("ln_1."),
        "qkv": pair("attn.in_proj_"),
        "out": _scaled(pair("attn.out_proj."), block.get_submodule("ls_1")),
        "norm_2": pair("ln_2."),
        "expand": expand,
        "contract": _scaled(contract, block.get_submodule("ls_2")),
    }


def _scaled(affine: Affine, scale: nn.Module) -> Affine:
    """With the factors of a `LayerScale` on each output, if there is one."""
    weight, bias = affine
    gamma = getattr(scale, "gamma", None)
    return affine if gamma is None else (weight * gamma[:, None], bias * gamma)
