"""Sinkhorn's iteration on a GPU, without the host ever waiting.

Every step is made and the changes of the potentials are kept; which step is the last follows from
the batch mean on the device, and the plan from adding the changes up to there.
"""

# pyright: reportArgumentType=false
# (a constant of a kernel is an int here)
import math
from dataclasses import dataclass
from typing import Any

import torch
import triton
from jaxtyping import Float, Int32
from torch import Tensor

from lico.data_parallel import Parts, of_all
from lico.losses.sinkhorn_kernels import adjoint, iterate, replay

LARGEST = 32_768  # numbers of a problem that still fit on the chip


@dataclass(frozen=True)
class FusedIterates:
    """Everything that the iteration went through, in single precision.

    Attributes:
        log_of_plan: [batch, m, n], after the last step that counts.
        df: [batch, steps, n], what the first potential changed by in each step, over ε.
        dg: [batch, steps, m], and the second.
        made: [1], how many steps count.
        epsilon: ε.
    """

    log_of_plan: Tensor
    df: Tensor
    dg: Tensor
    made: Tensor
    epsilon: float

    @property
    def iterations(self) -> Float[Tensor, ""]:
        """How many steps count."""
        return self.made[0].float()

    def log_plan(self) -> Float[Tensor, "batch m n"]:
        """log P after the last step that counts."""
        return self.log_of_plan

    def plan(self) -> Float[Tensor, "batch m n"]:
        """P after the last step that counts."""
        return self.log_of_plan.exp()

    def adjoint(self, grad_plan: Float[Tensor, "batch m n"]) -> Float[Tensor, "batch m n"]:
        """The gradient to the cost, given that to the plan."""
        grad = torch.empty_like(self.log_of_plan)
        kept = self.log_of_plan, self.df, self.dg, self.made, grad_plan.float().contiguous(), grad
        adjoint[(len(grad),)](
            *kept, self.df.shape[1], self.epsilon, *_sizes(grad), **_options(grad)
        )
        return grad


def fits(cost: Float[Tensor, "batch m n"]) -> bool:
    """Whether a problem of this size fits on the chip."""
    return math.prod(triton.next_power_of_2(size) for size in cost.shape[1:]) <= LARGEST


@torch.no_grad()
def fused_sinkhorn(
    cost: Float[Tensor, "batch m n"],
    epsilon: float,
    max_iterations: int,
    threshold: float,
    parts: Parts | None = None,
) -> FusedIterates:
    """Iterate as `lico.losses.sinkhorn.sinkhorn` does."""
    cost = cost.float().contiguous()
    batch, m, n = cost.shape
    df, dg = cost.new_empty(batch, max_iterations, n), cost.new_empty(batch, max_iterations, m)
    moved = cost.new_empty(batch, max_iterations)
    grid, sizes = (batch,), _sizes(cost)
    options = _options(cost)
    logs = math.log(m), math.log(n)
    iterate[grid](cost, df, dg, moved, max_iterations, epsilon, *logs, *sizes, **options)
    made = _last_step(moved.mean(0) * epsilon, threshold, parts or Parts((batch,)))
    log_plan = torch.empty_like(cost)
    replay[grid](cost, df, dg, made, log_plan, max_iterations, epsilon, *sizes, **options)
    return FusedIterates(log_plan, df, dg, made, epsilon)


def _last_step(
    change: Float[Tensor, " steps"], threshold: float, parts: Parts
) -> Int32[Tensor, "1"]:
    """The first step whose change, in the mean over the whole batch, is below the threshold."""
    whole = sum(parts.sizes)
    every = zip(parts.sizes, of_all(change, parts), strict=True)
    below = torch.stack([size / whole * each for size, each in every]).sum(0) < threshold
    below[-1] = True
    return (below.int().argmax() + 1).int().view(1)


def _sizes(cost: Tensor) -> tuple[int, int, int, int]:
    """m, n and the powers of two that hold them."""
    m, n = cost.shape[1:]
    return m, n, triton.next_power_of_2(m), triton.next_power_of_2(n)


def _options(cost: Tensor) -> dict[str, Any]:
    """Threads so that each holds about 32 numbers of the problem, or 64 of the largest."""
    *_, block_m, block_n = _sizes(cost)
    warps = min(16, max(1, block_m * block_n // 1024))
    return {"num_warps": warps, "enable_fp_fusion": True}
