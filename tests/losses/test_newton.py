"""Newton's steps against POT, Sinkhorn's iteration carried to its end, and finite differences."""

import numpy as np
import ot
import pytest
import torch
from torch import Tensor

from lico.losses.newton import newton
from lico.losses.optimal_transport import optimal_transport
from lico.losses.sinkhorn import sinkhorn
from lico.losses.squared_distances import squared_distances
from lico.losses.unit_rows import unit_rows


def cost_of(batch: int, tokens: int, channels: int, width: int = 49, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    maps = torch.randn(batch, channels, width, generator=random, dtype=torch.float64).relu()
    words = torch.randn(batch, tokens, width, generator=random, dtype=torch.float64)
    maps[0, 0] = 0  # a dead channel
    return squared_distances(unit_rows(words), maps)


def marginal_error(plan: Tensor) -> float:
    m, n = plan.shape[1:]
    rows, columns = (plan.sum(2) - 1 / m).abs().sum(1), (plan.sum(1) - 1 / n).abs().sum(1)
    return float(torch.maximum(rows, columns).max())


@pytest.mark.parametrize("steps", [1, 5, 20])
@pytest.mark.parametrize("epsilon", [3e-3, 1e-2, 0.1, 1.0])
@pytest.mark.parametrize(
    ("tokens", "channels", "width"),
    [(16, 512, 49), (16, 512, 4), (12, 128, 64), (3, 7, 49), (1, 5, 49), (4, 1, 49)],
)
def test_marginals_are_right_wherever_it_starts(
    tokens: int, channels: int, width: int, epsilon: float, steps: int
) -> None:
    cost = cost_of(3, tokens, channels, width)
    solved = newton(sinkhorn(cost, epsilon, steps, 0.0), epsilon)
    assert marginal_error(solved.plan()) < 1e-10


@pytest.mark.parametrize("epsilon", [1e-2, 0.1])
def test_plan_is_pots_entropic_plan(epsilon: float) -> None:
    cost = cost_of(2, 6, 40)
    plans = newton(sinkhorn(cost, epsilon, 20, 0.0), epsilon).plan()
    for plan, each in zip(plans, cost, strict=True):
        expected = ot.bregman.sinkhorn_epsilon_scaling(
            np.full(6, 1 / 6), np.full(40, 1 / 40), each.numpy(), epsilon,
            numItermax=1000, numInnerItermax=1000, stopThr=1e-14,
        )  # fmt: skip
        np.testing.assert_allclose(plan, expected, rtol=0, atol=1e-9)


def test_cost_of_the_default_is_within_a_fifth_of_a_percent_of_the_exact_one() -> None:
    random = torch.Generator().manual_seed(4)
    maps = torch.randn(4, 512, 49, generator=random).relu()
    words = torch.randn(4, 16, 49, generator=random)
    ours = optimal_transport(maps, words, epsilon=1e-2, max_iterations=20, solver="newton")
    assert float(ours.marginal_error) < 1e-6
    exact = [
        ot.emd2(np.full(512, 1 / 512), np.full(16, 1 / 16), each)
        for each in squared_distances(unit_rows(maps.double()), words.double()).numpy()
    ]
    assert float(ours.cost) == pytest.approx(np.mean(exact), rel=2e-3)


def test_adjoint_is_the_derivative_of_the_solution() -> None:
    """Against central differences of ⟨W, P(C)⟩."""
    cost, epsilon = cost_of(1, 3, 6, width=5), 0.05
    weights = torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def value(at: Tensor) -> float:
        return float((weights * newton(sinkhorn(at, epsilon, 20, 0.0), epsilon).plan()).sum())

    found = newton(sinkhorn(cost, epsilon, 20, 0.0), epsilon).adjoint(weights)
    width = 1e-5
    for m in range(3):
        for n in range(6):
            moved = torch.zeros_like(cost)
            moved[0, m, n] = width
            slope = (value(cost + moved) - value(cost - moved)) / (2 * width)
            assert float(found[0, m, n]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_unrolled_iterations_tend_to_the_adjoint() -> None:
    cost, epsilon = cost_of(2, 5, 30), 0.05
    weights = torch.randn(2, 5, 30, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    solved = newton(sinkhorn(cost, epsilon, 20, 0.0), epsilon).adjoint(weights)
    iterated = sinkhorn(cost, epsilon, 3000, 0.0).adjoint(weights)
    torch.testing.assert_close(solved, iterated, rtol=1e-6, atol=1e-10)


def test_a_solution_does_not_depend_on_its_batch() -> None:
    """One that is reached early waits for the others."""
    cost = torch.cat([cost_of(2, 16, 200), 0.01 * cost_of(1, 16, 200, seed=1)])
    together = newton(sinkhorn(cost, 1e-2, 5, 0.0), 1e-2).plan()
    for plan, each in zip(together, cost, strict=True):
        alone = newton(sinkhorn(each[None], 1e-2, 5, 0.0), 1e-2).plan()[0]
        torch.testing.assert_close(plan, alone, rtol=1e-11, atol=1e-16)


def test_where_no_step_can_be_solved_for_sinkhorns_is_taken() -> None:
    """At ε = 1e-4 a plan is all but deterministic, and J has no factorisation."""
    cost = cost_of(2, 16, 64)
    before = sinkhorn(cost, 1e-4, 3, 0.0)
    solved = newton(before, 1e-4).plan()
    assert bool(solved.isfinite().all())
    assert marginal_error(solved) < marginal_error(before.plan())
