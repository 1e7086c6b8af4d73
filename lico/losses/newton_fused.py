"""Newton's steps on a GPU, without the host ever waiting."""

from typing import Any

import torch
import triton
from jaxtyping import Float
from torch import Tensor

from lico.losses.newton import LIMITS
from lico.losses.newton_kernels import solve

MOST_TOKENS = 64  # so that the equations of a step stay on the chip


def fits(log_plan: Float[Tensor, "batch m n"]) -> bool:
    """Whether the equations of a step fit on the chip."""
    return log_plan.shape[1] <= MOST_TOKENS


def fused_newton(log_plan: Float[Tensor, "batch m n"]) -> Float[Tensor, "batch m n"]:
    """The plan, in double precision, with marginals right to rounding.

    Args:
        log_plan: where Sinkhorn's iteration stands.
    """
    batch, m, n = log_plan.shape
    solved = log_plan.new_empty(batch, m, n, dtype=torch.float64)
    solve[(batch,)](log_plan.contiguous(), solved, m, n, *LIMITS, **_options(m))
    return solved


def _options(m: int) -> dict[str, Any]:
    """Numbers that are made at a time so that all stay in registers."""
    block_m = max(16, triton.next_power_of_2(m))
    numbers = 1024 if block_m == 16 else 2048
    return {
        "block_m": block_m,
        "block_n": numbers // block_m,
        "num_warps": numbers // 256,
        "enable_fp_fusion": True,
    }
