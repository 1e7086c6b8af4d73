"""Newton's steps in a kernel, by Triton's interpreter, against those of plain PyTorch."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from lico.losses import newton_fused, newton_kernels
from lico.losses.newton import newton
from lico.losses.sinkhorn import Iterates, sinkhorn
from tests.losses.kernels import CAPABILITIES, compiled, interpreted
from tests.losses.test_newton import cost_of, marginal_error


class Case(NamedTuple):
    tokens: int
    channels: int
    width: int
    epsilon: float
    steps: int = 1

    def start(self) -> Iterates:
        cost = cost_of(2, self.tokens, self.channels, self.width)
        return sinkhorn(cost, self.epsilon, self.steps, 0.0)


CASES = [
    Case(*sizes, epsilon)
    for sizes in [(16, 200, 49), (16, 200, 4), (12, 64, 64), (20, 70, 9), (3, 7, 49), (1, 5, 49)]
    for epsilon in (3e-3, 0.1)
] + [Case(4, 1, 49, 0.1), Case(16, 64, 49, 1e-2, steps=20), Case(40, 33, 9, 1.0)]
DETERMINISTIC = Case(16, 64, 49, 1e-4, steps=3)  # all but: the equations cannot be solved


def kernel_plans(cases: list[Case]) -> list[Tensor]:
    """The plan of each case, as the kernel gives it."""
    return [newton_fused.fused_newton(case.start().log_plan()) for case in cases]


@pytest.fixture(scope="module")
def plans() -> dict[Case, Tensor]:
    return interpreted(kernel_plans, [*CASES, DETERMINISTIC])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_plan_is_that_of_plain_torch(plans: dict[Case, Tensor], case: Case) -> None:
    expected = newton(case.start(), case.epsilon).plan()
    torch.testing.assert_close(plans[case], expected, rtol=1e-9, atol=1e-14)
    assert marginal_error(plans[case]) < 1e-10


def test_where_no_step_can_be_solved_for_sinkhorns_is_taken(plans: dict[Case, Tensor]) -> None:
    assert bool(plans[DETERMINISTIC].isfinite().all())
    before = marginal_error(DETERMINISTIC.start().plan())
    assert marginal_error(plans[DETERMINISTIC]) < before


def test_most_tokens_are_known() -> None:
    assert newton_fused.fits(torch.empty(1, 64, 2048))
    assert not newton_fused.fits(torch.empty(1, 65, 8))


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("tokens", [16, 64])
def test_kernel_compiles_for_gpus(capability: int, tokens: int) -> None:
    kinds = dict.fromkeys(("tolerance", "near", "farthest"), "fp32")
    kinds |= dict.fromkeys(("m_size", "n_size", "most_steps", "halvings"), "i32") | {
        "solved": "*fp64"
    }
    options = newton_fused._options(tokens)
    assert len(compiled(newton_kernels.solve, kinds, options, capability)) > 1000
