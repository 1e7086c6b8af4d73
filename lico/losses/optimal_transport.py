"""Entropic optimal transport between an image's feature maps and its prompt's tokens."""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lico.data_parallel import Parts
from lico.losses.checks import require_finite
from lico.losses.fused import runs_kernels
from lico.losses.newton import newton
from lico.losses.sinkhorn import Iteration, sinkhorn, some_samples
from lico.losses.squared_distances import cosines, squared_distances
from lico.losses.unit_rows import unit_rows


class Transport(NamedTuple):
    """The loss and what shows whether Sinkhorn's iteration has converged.

    Attributes:
        cost: mean over the batch of ⟨P, C⟩.
        marginal_error: mean over the batch of Σ_n |Σ_m P_nm - 1/N|; 0 for a transport plan, at
            most 2.
        iterations: how many were made.
        agreement: of the unrolled gradient with that of the envelope theorem, both to the
            normalised feature maps: cosine and ratio of lengths, means over the images times
            `Parts.share`. The backward pass fills it in; None for the envelope gradient.
    """

    cost: Float[Tensor, ""]
    marginal_error: Float[Tensor, ""]
    iterations: Float[Tensor, ""]
    agreement: Float[Tensor, "2"] | None = None


def optimal_transport(
    feature_maps: Float[Tensor, "batch channels locations"],
    tokens: Float[Tensor, "batch tokens locations"],
    *,
    epsilon: float,
    max_iterations: int = 100,
    threshold: float = 1e-3,
    gradient: Literal["unrolled", "envelope"] = "envelope",
    solver: Literal["sinkhorn", "newton"] = "sinkhorn",
    parts: Parts | None = None,
) -> Transport:
    """Transport cost between the C feature maps and the M tokens of each sample.

        L_OT = 1/B Σ_b ⟨P_b, C_b⟩,  C[n, m] = ‖x_n - y_m‖²,

    with x, y the maps and tokens, L2-normalised over locations (a dead map stays zero), uniform
    marginals, and P from Sinkhorn's iteration in the log domain.

    Args:
        feature_maps: image features, one row a channel.
        tokens: projected text features, one row a token.
        epsilon: entropic regularisation, in units of the cost (which is at most 4).
        max_iterations: at most so many updates of both potentials.
        threshold: stop when the batch mean of Σ_n |Δu_n|, u in units of the cost, is below it.
        gradient: "unrolled" differentiates through what made the plan: every iteration, or with
            Newton's steps the solution itself; "envelope" holds the plan fixed, which is the true
            gradient of the regularised optimum once it has converged.
        solver: "newton" goes on from Sinkhorn's iteration to the solution, with marginals right to
            rounding.
        parts: if this is one process's part of a batch: the iteration stops by the mean over the
            whole. The means that are returned are over the part.

    Raises:
        ValueError: if the shapes do not belong together, or, on a CPU, a feature is not finite.

    Source: LICO (NeurIPS 2023), eqs. 3 to 5; cost and normalisation as in the reproduction study.
    """
    if feature_maps.ndim != 3 or tokens.ndim != 3 or _outer(feature_maps) != _outer(tokens):
        raise ValueError(
            f"optimal_transport got feature_maps {list(feature_maps.shape)} and tokens "
            f"{list(tokens.shape)}; it needs [batch, channels, locations] and "
            "[batch, tokens, locations]"
        )
    require_finite("optimal_transport", feature_maps=feature_maps, tokens=tokens)
    parts = parts or Parts((len(tokens),))
    with torch.autocast(feature_maps.device.type, enabled=False):
        rows = unit_rows(tokens)
        cost = squared_distances(rows, feature_maps)
        iteration = _iterate(cost.detach(), epsilon, max_iterations, threshold, parts)
        if solver == "newton":
            iteration = newton(iteration, epsilon)
        plan = iteration.plan().to(cost.dtype)
        channels = plan.sum(1)
        error = (channels - 1 / channels.shape[1]).abs().sum(1).mean()
        if gradient == "envelope":
            total = (plan * cost).sum((1, 2)).mean()
            return Transport(total, error, iteration.iterations)
        agreement = cost.new_zeros(2)
        known = cost.detach(), rows.detach(), feature_maps.detach().any(2)
        compare = partial(_compare, agreement, *known, parts.share)
        costs: Tensor = _UnrolledCosts.apply(cost, plan, iteration, compare)  # pyright: ignore[reportAssignmentType]
    return Transport(costs.mean(), error, iteration.iterations, agreement)


def _outer(x: Tensor) -> tuple[int, int]:
    return x.shape[0], x.shape[2]


class _UnrolledCosts(torch.autograd.Function):
    """⟨P, C⟩ of each sample, the plan a function of the cost through every step that was made."""

    @staticmethod
    def forward(
        ctx: Any,
        cost: Tensor,
        plan: Tensor,
        iteration: Iteration,
        compare: Callable[[Tensor, Tensor], None],
    ) -> Tensor:
        ctx.save_for_backward(cost, plan)
        ctx.iteration, ctx.compare = iteration, compare
        return (plan * cost).sum((1, 2))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        cost, plan = ctx.saved_tensors
        weight = grads[0][:, None, None]
        envelope = weight * plan
        unrolled = envelope + ctx.iteration.adjoint(weight * cost).to(cost.dtype)
        ctx.compare(unrolled, envelope)
        return unrolled, None, None, None


def _compare(
    agreement: Float[Tensor, "2"],
    cost: Float[Tensor, "batch m n"],
    tokens: Float[Tensor, "batch m width"],
    alive: Bool[Tensor, "batch n"],
    share: float,
    unrolled: Float[Tensor, "batch m n"],
    envelope: Float[Tensor, "batch m n"],
) -> None:
    """Fill in mean cosine and mean ratio of lengths of two gradients, taken on to the maps.

    A gradient G to the cost of a map of length 1 is -2 Σ_m G_m y_m to the map x, less its part
    along x, since its length is fixed. Products of two such gradients need the tokens' products
    and the cosines alone; in double precision, because prompts differ by little. A dead map has
    none.
    """
    grams: list[Tensor] = []
    for some in some_samples(cost):
        y, of_x = tokens[some].double(), cosines(cost[some], tokens[some])
        grads = torch.cat([unrolled[some], envelope[some]], 1).double().mul_(alive[some, None])
        both = (2, y.shape[1])  # gradients, tokens
        along = (grads.unflatten(1, both) * of_x[:, None]).sum(2)
        products = (grads @ grads.mT).unflatten(2, both).unflatten(1, both)
        whole = torch.einsum("simjk,smk->sij", products, y @ y.mT)
        grams.append(whole - along @ along.mT)
    gram = torch.cat(grams)
    tiny = torch.finfo(gram.dtype).tiny
    a, b = gram.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt().unbind(1)
    cosine, ratio = gram[:, 0, 1] / (a * b).clamp_min(tiny), a / b.clamp_min(tiny)
    agreement.copy_(share * torch.stack([cosine.mean(), ratio.mean()]))


def _iterate(
    cost: Tensor, epsilon: float, max_iterations: int, threshold: float, parts: Parts
) -> Iteration:
    """On a GPU in one program a sample, if that fits on the chip."""
    if runs_kernels(cost):
        from lico.losses.sinkhorn_fused import fits, fused_sinkhorn  # noqa: PLC0415 (needs triton)

        if fits(cost):
            return fused_sinkhorn(cost, epsilon, max_iterations, threshold, parts)
    return sinkhorn(cost, epsilon, max_iterations, threshold, parts)
