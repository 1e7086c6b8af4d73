"""The kernels for a GPU, by Triton's interpreter, against the iteration in double precision."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from lico.losses import sinkhorn_fused, sinkhorn_kernels
from lico.losses.sinkhorn import sinkhorn
from lico.losses.squared_distances import squared_distances
from lico.losses.unit_rows import unit_rows
from tests.losses.kernels import CAPABILITIES, compiled, interpreted


class Case(NamedTuple):
    tokens: int
    channels: int
    epsilon: float
    threshold: float
    tolerance: float
    steps: int = 12

    def cost(self) -> Tensor:
        random = torch.Generator().manual_seed(0)
        maps = torch.randn(3, self.channels, 7, generator=random).relu()
        maps[0, 0] = 0
        words = torch.randn(3, self.tokens, 7, generator=random)
        return squared_distances(unit_rows(words), maps)

    def weights(self) -> Tensor:
        random = torch.Generator().manual_seed(1)
        return torch.randn(3, self.tokens, self.channels, generator=random)


CASES = [
    Case(tokens, channels, *setting)
    for tokens, channels in [(5, 9), (16, 40), (3, 32), (1, 6), (4, 1)]
    for setting in [(0.1, 1e-3, 1e-5), (1e-2, 0.02, 1e-4), (1e-3, 0, 2e-3), (1, 1e9, 1e-5)]
]
PUBLISHED = Case(8, 24, 1e-4, 0, 0, steps=25)
Result = tuple[float, Tensor, Tensor]


def kernel_results(cases: list[Case]) -> list[Result]:
    """Iterations, plan and gradient of each case, as the kernels give them."""
    results: list[Result] = []
    for case in cases:
        found = sinkhorn_fused.fused_sinkhorn(case.cost(), case.epsilon, case.steps, case.threshold)
        results.append((float(found.iterations), found.plan(), found.adjoint(case.weights())))
    return results


@pytest.fixture(scope="module")
def results() -> dict[Case, Result]:
    return interpreted(kernel_results, [*CASES, PUBLISHED])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_plan_and_adjoint_are_those_in_double_precision(
    results: dict[Case, Result], case: Case
) -> None:
    iterations, plan, gradient = results[case]
    exact = sinkhorn(case.cost().double(), case.epsilon, case.steps, case.threshold)
    assert iterations == float(exact.iterations)
    expected = exact.plan(), exact.adjoint(case.weights().double())
    for mine, theirs in zip((plan, gradient), expected, strict=True):
        largest = max(float(theirs.abs().max()), 1e-3)  # with one token the gradient is 0
        torch.testing.assert_close(
            mine.double(), theirs, rtol=5 * case.tolerance, atol=5 * case.tolerance * largest
        )


def test_thresholds_stop_at_different_steps(results: dict[Case, Result]) -> None:
    assert len({results[case][0] for case in CASES}) > 2


def test_published_regularisation_stays_near_in_single_precision(
    results: dict[Case, Result],
) -> None:
    exact = sinkhorn(PUBLISHED.cost().double(), 1e-4, PUBLISHED.steps, 0.0)
    ours, theirs = (
        (plan.double() * PUBLISHED.cost()).sum((1, 2))
        for plan in (results[PUBLISHED][1], exact.plan())
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=0)


def test_largest_problem_is_known() -> None:
    assert sinkhorn_fused.fits(torch.empty(1, 16, 2048))
    assert not sinkhorn_fused.fits(torch.empty(1, 17, 2048))


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("tokens", "channels"), [(16, 512), (16, 2048)])
def test_kernels_compile_for_gpus(capability: int, tokens: int, channels: int) -> None:
    kinds = {"epsilon": "fp32", "log_m": "fp32", "log_n": "fp32", "made": "*i32"}
    kinds |= {"steps": "i32", "m_size": "i32", "n_size": "i32"}
    blocks = {"block_m": tokens, "block_n": channels}
    options = sinkhorn_fused._options(torch.empty(1, tokens, channels))
    for kernel in (sinkhorn_kernels.iterate, sinkhorn_kernels.replay, sinkhorn_kernels.adjoint):
        assert len(compiled(kernel, kinds, blocks | options, capability)) > 1000
