"""Entropic transport solved to rounding: Newton steps in as many unknowns as there are tokens.

Given the tokens' potential g (in units of ε) that of the maps follows in closed form, so that the
columns of the plan sum to 1/N: P = softmax(g - C/ε) / N over the tokens. What is left of the dual
is a concave function of g, M numbers,

    F(g) = mean(g) - mean of logsumexp(g - C/ε),   ∇F = 1/M - r,   ∇²F = -J,
    r = P 1,   J = diag(r) - N P Pᵀ.

Sinkhorn's steps come first, until Newton's converge in a few.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from lico.losses.fused import runs_kernels
from lico.losses.sinkhorn import Iteration, some_samples

STEPS_ON_GPU = 6  # between two looks whether it suffices, which make the host wait


class Limits(NamedTuple):
    """How far and how long Newton's steps go.

    Attributes:
        steps: at most so many.
        tolerance: of what rows lack in all; then one more step, which squares it, is the last.
        near: range of a step that is small enough to be made whole.
        farthest: that a potential moves in one step: e to its power is a number.
        halvings: of a step's length that are tried, besides the damped one.
    """

    steps: int = 100
    tolerance: float = 1e-10
    near: float = 1.0
    farthest: float = 300.0
    halvings: int = 3


LIMITS = Limits()


@dataclass(frozen=True)
class Solution:
    """The plan of regularised transport, in double precision.

    Attributes:
        solved: [batch, m, n], the plan.
        iterations: Sinkhorn's, which came first.
        epsilon: ε.
    """

    solved: Tensor
    iterations: Float[Tensor, ""]
    epsilon: float

    def plan(self) -> Float[Tensor, "batch m n"]:
        """P."""
        return self.solved

    def adjoint(self, grad_plan: Float[Tensor, "batch m n"]) -> Float[Tensor, "batch m n"]:
        """The gradient to the cost, given that to the plan, through the solution itself.

        With W the given gradient and Q = W ∘ P it is (P ∘ (a + b) - Q) / ε, where a and b make its
        rows and columns sum to zero. Their equations have the matrix of a Newton step.
        """
        plan, n = self.solved, self.solved.shape[2]
        weighted = grad_plan * plan
        columns = weighted.sum(1)
        right = weighted.sum(2) - n * (plan @ columns[:, :, None])[:, :, 0]
        a = _solve(plan, right)[:, :, None]
        b = n * (columns[:, None] - a.mT @ plan)
        return (plan * (a + b) - weighted) / self.epsilon


@torch.no_grad()
def newton(start: Iteration, epsilon: float) -> Solution:
    """Go on from Sinkhorn's iteration until the plan's marginals are right to rounding.

    Small steps are made whole. Of a larger one the length is taken that raises F most, among some
    parts of it and log(1 + d) / d, d its range, with which Newton's method converges from anywhere.
    Where J has no factorisation in double precision, Sinkhorn's step takes its place.

    Args:
        start: where Sinkhorn's iteration stands.
        epsilon: its ε, in units of the cost.

    Source: the damped length as in Sun and Tran-Dinh (Math. Program. 178, 2019) for ν = 2.
    """
    log_plan = start.log_plan()
    if runs_kernels(log_plan):
        from lico.losses.newton_fused import fits, fused_newton  # noqa: PLC0415 (needs triton)

        if fits(log_plan):
            return Solution(fused_newton(log_plan), start.iterations, epsilon)
    plan = log_plan.double()
    for samples in some_samples(plan):
        plan[samples] = _solved(plan[samples])
    return Solution(plan, start.iterations, epsilon)


def _solved(log_plan: Float[Tensor, "some m n"]) -> Float[Tensor, "some m n"]:
    """The plan, Newton's steps made; no sample's depends on the others'."""
    look = 1 if log_plan.device.type == "cpu" else STEPS_ON_GPU
    solved = log_plan.new_zeros(len(log_plan), 1, dtype=torch.bool)
    made = 0
    while True:
        plan, rows, missing = _where(log_plan)
        if made == LIMITS.steps or (made and made % look == 0 and solved.all()):
            return plan.div_(rows.shape[1] * rows[:, :, None])
        step = _solve(plan, missing)
        known = step.isfinite().all(1, keepdim=True)
        step = torch.where(known, step, -(rows.shape[1] * rows).log())
        move = _best_length(plan, step).masked_fill(solved, 0)
        log_plan = log_plan + move[:, :, None]
        solved |= missing.abs().sum(1, keepdim=True) < LIMITS.tolerance
        made += 1


def _where(log_plan: Float[Tensor, "batch m n"]) -> tuple[Tensor, Tensor, Tensor]:
    """The plan with columns made right, its rows' sums, and what they lack."""
    m, n = log_plan.shape[1:]
    plan = log_plan.softmax(1).div_(n)
    rows = plan.sum(2)
    return plan, rows, 1 / m - rows


def _best_length(
    plan: Float[Tensor, "batch m n"], step: Float[Tensor, "batch m"]
) -> Float[Tensor, "batch m"]:
    """The step, as long as it is best made."""
    span = step.amax(1, keepdim=True) - step.amin(1, keepdim=True)
    damped = torch.where(span > 0, span.log1p() / span, 1)
    parts = 0.5 ** torch.arange(LIMITS.halvings + 1, dtype=step.dtype, device=step.device)
    lengths = torch.cat([parts.expand(len(step), -1), damped], dim=1)
    moves = lengths[:, :, None] * step[:, None]
    sums = plan.shape[2] * (moves.clamp(-LIMITS.farthest, LIMITS.farthest).exp() @ plan)
    gains = moves.mean(2) - sums.log().mean(2)
    too_far = (moves.abs().amax(2) > LIMITS.farthest) | ~gains.isfinite()
    gains = gains.masked_fill(too_far, -torch.inf)
    gains[:, 0].masked_fill_(span[:, 0] < LIMITS.near, torch.inf)  # gains are but rounding there
    best = gains.argmax(1)[:, None, None].expand(-1, 1, step.shape[1])
    return moves.gather(1, best)[:, 0]


def _solve(
    plan: Float[Tensor, "batch m n"], right: Float[Tensor, "batch m"]
) -> Float[Tensor, "batch m"]:
    """J x = right, the entries of x summing to zero; not a number where that cannot be solved."""
    m, n = plan.shape[1:]
    matrix = (plan @ plan.mT).mul_(-n)
    matrix.diagonal(dim1=1, dim2=2).add_(plan.sum(2))
    matrix += 1 / m**2  # equal entries are J's null space
    factor, failed = torch.linalg.cholesky_ex(matrix)
    found = torch.cholesky_solve(right[:, :, None], factor)[:, :, 0]
    return found.masked_fill(failed[:, None] > 0, float("nan"))
