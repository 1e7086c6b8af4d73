"""Entropic optimal transport between an image's feature maps and its prompt's tokens."""

import math
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lico.losses.unit_rows import unit_rows


class Transport(NamedTuple):
    """The loss and what shows whether Sinkhorn's iteration has converged.

    Attributes:
        cost: mean over the batch of ⟨P, C⟩.
        marginal_error: mean over the batch of Σ_n |Σ_m P_nm - 1/N|; 0 for a transport plan, at
            most 2.
        iterations: how many were made.
    """

    cost: Float[Tensor, ""]
    marginal_error: Float[Tensor, ""]
    iterations: int


def optimal_transport(
    feature_maps: Float[Tensor, "batch channels locations"],
    tokens: Float[Tensor, "batch tokens locations"],
    *,
    epsilon: float,
    max_iterations: int = 100,
    threshold: float = 1e-3,
    gradient: Literal["unrolled", "envelope"] = "envelope",
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
        gradient: "unrolled" differentiates through the iterations; "envelope" holds the plan
            fixed, which is the true gradient of the regularised optimum once it has converged.

    Raises:
        ValueError: if the shapes do not belong together.

    Source: LICO (NeurIPS 2023), eqs. 3 to 5; cost and normalisation as in the reproduction study.
    """
    if feature_maps.ndim != 3 or tokens.ndim != 3 or _outer(feature_maps) != _outer(tokens):
        raise ValueError(
            f"optimal_transport got feature_maps {list(feature_maps.shape)} and tokens "
            f"{list(tokens.shape)}; it needs [batch, channels, locations] and "
            "[batch, tokens, locations]"
        )
    with torch.autocast(feature_maps.device.type, enabled=False):
        cost = squared_distances(tokens, feature_maps)
        f, g = sinkhorn(cost.detach(), epsilon, max_iterations, threshold)
        if gradient == "unrolled":
            plan: Tensor = _UnrolledPlan.apply(cost, f, g, epsilon)  # pyright: ignore[reportAssignmentType]
        else:
            plan = _plan(cost.detach(), f[-1], g[-1], epsilon)
        total = (plan * cost).sum((1, 2)).mean()
        channels = plan.detach().sum(1)
        error = (channels - 1 / channels.shape[1]).abs().sum(1).mean()
    return Transport(total, error, len(f))


def squared_distances(
    x: Float[Tensor, "batch n width"], y: Float[Tensor, "batch m width"]
) -> Float[Tensor, "batch n m"]:
    """Squared distances between L2-normalised rows; a row of zeros has norm 0, not 1."""
    x, y = unit_rows(x), unit_rows(y)
    norms = x.square().sum(2)[:, :, None] + y.square().sum(2)[:, None, :]
    return (norms - 2 * (x @ y.mT)).clamp_min(0)


def sinkhorn(
    cost: Float[Tensor, "batch m n"], epsilon: float, max_iterations: int, threshold: float
) -> tuple[list[Tensor], list[Tensor]]:
    """Potentials of Sinkhorn's iteration in the log domain, all of them.

        f_k = log 1/N - LSE_m(g_{k-1} - C/ε),   g_k = log 1/M - LSE_n(f_k - C/ε),   g_0 = 0

    The side with more points is the last, contiguous one, so that both sums run over memory in
    order; one buffer serves all iterations.

    Args:
        cost: C, from M tokens to N feature maps.
        epsilon: in units of the cost.
        max_iterations: at most so many pairs (f_k, g_k).
        threshold: stop when the batch mean of Σ_n ε|f_k - f_{k-1}| is below it.

    Returns:
        f_1 … f_K, each [batch, n], and g_1 … g_K, each [batch, m], without unit (u = ε f).

    Source: Cuturi (NeurIPS 2013); Peyré and Cuturi, Computational Optimal Transport, 4.4.
    """
    _, m, n = cost.shape
    kernel = cost / -epsilon
    buffer = torch.empty_like(kernel)
    f, g = kernel.new_zeros(len(cost), n), kernel.new_zeros(len(cost), m)
    fs: list[Tensor] = []
    gs: list[Tensor] = []
    for _ in range(max_iterations):
        before = f
        torch.add(kernel, g[:, :, None], out=buffer)
        f = -math.log(n) - _logsumexp_in_place(buffer, 1)
        torch.add(kernel, f[:, None, :], out=buffer)
        g = -math.log(m) - _logsumexp_in_place(buffer, 2)
        fs.append(f)
        gs.append(g)
        if epsilon * float((f - before).abs().sum(1).mean()) < threshold:
            break
    return fs, gs


def _logsumexp_in_place(x: Tensor, dim: int) -> Tensor:
    """log Σ exp along a dimension; x is overwritten."""
    top = x.amax(dim, keepdim=True)
    return _exp_in_place(x.sub_(top)).sum(dim).log_().add_(top.squeeze(dim))


def _exp_in_place(x: Tensor) -> Tensor:
    """exp of numbers that are at most about 0, with everything negligible raised to a bound.

    A term below the bound is less than one unit of rounding beside a term near 1. Kept as it is
    it would turn into denormal numbers here or in the adjoint, which are computed some ten times
    slower, as are exponents out of range.
    """
    return x.clamp_min_(_LOWEST_EXPONENT[x.dtype]).exp_()


_LOWEST_EXPONENT = {torch.float32: -40.0, torch.float64: -300.0}


def _plan(cost: Tensor, f: Tensor, g: Tensor, epsilon: float) -> Tensor:
    return torch.exp(cost / -epsilon + f[:, None, :] + g[:, :, None])


class _UnrolledPlan(torch.autograd.Function):
    """The plan after all iterations, with the exact adjoint of every one of them.

    Keeping the potentials alone and forming each half-step's softmax again in the backward pass
    needs K·(N + M) numbers a sample instead of K·N·M for each of several temporaries.
    """

    @staticmethod
    def forward(
        ctx: Any, cost: Tensor, fs: list[Tensor], gs: list[Tensor], epsilon: float
    ) -> Tensor:
        plan = _plan(cost, fs[-1], gs[-1], epsilon)
        ctx.save_for_backward(cost, plan, *fs, *gs)
        ctx.epsilon = epsilon
        return plan

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        cost, plan, *potentials = ctx.saved_tensors
        fs, gs = potentials[: len(potentials) // 2], potentials[len(potentials) // 2 :]
        kernel = cost / -ctx.epsilon
        _, m, n = cost.shape
        grad_kernel = grads[0] * plan
        grad_f, grad_g = grad_kernel.sum(1), grad_kernel.sum(2)
        buffer = torch.empty_like(kernel)
        for k in reversed(range(len(fs))):
            # g_k = log 1/M - LSE_n(kernel + f_k): its softmax over n is e^{kernel + f_k + g_k} M
            _softmax_into(buffer, kernel, fs[k], gs[k] + math.log(m)).mul_(grad_g[:, :, None])
            grad_kernel -= buffer
            grad_f = grad_f - buffer.sum(1)
            # f_k = log 1/N - LSE_m(kernel + g_{k-1}), likewise
            before = gs[k - 1] if k else torch.zeros_like(grad_g)
            _softmax_into(buffer, kernel, fs[k] + math.log(n), before).mul_(grad_f[:, None, :])
            grad_kernel -= buffer
            grad_g = -buffer.sum(2)
            grad_f = torch.zeros_like(grad_f)
        return grad_kernel / -ctx.epsilon, None, None, None


def _softmax_into(buffer: Tensor, kernel: Tensor, f: Tensor, g: Tensor) -> Tensor:
    torch.add(kernel, f[:, None, :], out=buffer)
    return _exp_in_place(buffer.add_(g[:, :, None]))


def _outer(x: Tensor) -> tuple[int, int]:
    return x.shape[0], x.shape[2]
