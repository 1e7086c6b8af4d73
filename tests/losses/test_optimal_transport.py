"""Optimal transport against its equations and against POT."""

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
from tests.losses import literal


def features(
    batch: int = 2, channels: int = 9, tokens: int = 5, width: int = 7
) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    maps = torch.randn(batch, channels, width, generator=random, dtype=torch.float64).relu()
    words = torch.randn(batch, tokens, width, generator=random, dtype=torch.float64)
    maps[0, 0] = 0  # a dead channel
    return maps, words


@pytest.mark.parametrize("gradient", ["unrolled", "envelope"])
@pytest.mark.parametrize(("epsilon", "iterations"), [(1e-4, 30), (1e-2, 100), (0.1, 100), (1, 1)])
def test_equals_its_equations_with_gradients(
    gradient: str, epsilon: float, iterations: int
) -> None:
    leaves = [each.requires_grad_() for each in features()]
    ours = optimal_transport(
        *leaves,
        epsilon=epsilon,
        max_iterations=iterations,
        gradient=gradient,  # type: ignore[arg-type]
    )
    expected, plan, made = literal.optimal_transport(
        *leaves, epsilon, iterations, 1e-3, unrolled=gradient == "unrolled"
    )
    assert ours.iterations == made
    torch.testing.assert_close(ours.cost, expected, rtol=1e-9, atol=1e-12)
    error = (plan.sum(2) - 1 / plan.shape[1]).abs().sum(1).mean()
    torch.testing.assert_close(ours.marginal_error, error, rtol=1e-6, atol=1e-12)
    mine = torch.autograd.grad(ours.cost, leaves)
    theirs = torch.autograd.grad(expected, leaves)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("epsilon", "iterations"), [(1e-3, 15), (0.1, 100)])
def test_agreement_compares_the_two_gradients(epsilon: float, iterations: int) -> None:
    """Against autograd through normalised maps, sample by sample."""
    maps, words = features()
    lengths = maps.norm(dim=2, keepdim=True)
    maps = (maps / lengths.masked_fill(lengths == 0, 1)).requires_grad_()
    gradients: dict[str, Tensor] = {}
    for gradient in ("unrolled", "envelope"):
        result = optimal_transport(
            maps,
            words,
            epsilon=epsilon,
            max_iterations=iterations,
            gradient=gradient,  # type: ignore[arg-type]
        )
        (gradients[gradient],) = torch.autograd.grad(result.cost, maps)
        if gradient == "unrolled":
            assert result.agreement is not None
            found = result.agreement
    a, b = (each.flatten(1) for each in gradients.values())
    ratio = (a.norm(dim=1) / b.norm(dim=1)).mean()
    torch.testing.assert_close(found[1], ratio, rtol=1e-6, atol=0)
    cosine = torch.nn.functional.cosine_similarity(a, b).mean()
    torch.testing.assert_close(found[0], cosine, rtol=1e-6, atol=1e-9)


def test_agreement_of_nearly_equal_prompts_survives_single_precision() -> None:
    random = torch.Generator().manual_seed(8)
    maps = torch.randn(4, 64, 49, generator=random, dtype=torch.float64).relu()
    base = torch.randn(1, 1, 49, generator=random, dtype=torch.float64)
    words = base + 1e-2 * torch.randn(4, 16, 49, generator=random, dtype=torch.float64)
    found: list[Tensor] = []
    for dtype in (torch.float64, torch.float32):
        leaf = maps.to(dtype).requires_grad_()
        result = optimal_transport(
            leaf, words.to(dtype), epsilon=1e-2, max_iterations=10, gradient="unrolled"
        )
        result.cost.backward()
        assert result.agreement is not None
        found.append(result.agreement.double())
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-4)


def test_converged_cost_is_within_a_fifth_of_a_percent_of_the_exact_one() -> None:
    maps, words = features(3, 40, 6, 16)
    result = optimal_transport(maps, words, epsilon=1e-2, max_iterations=100, threshold=0)
    cost = squared_distances(unit_rows(maps), words).numpy()
    exact = np.mean([ot.emd2(np.full(40, 1 / 40), np.full(6, 1 / 6), each) for each in cost])
    assert float(result.cost) == pytest.approx(exact, rel=2e-3)


def test_plan_is_pots_entropic_plan() -> None:
    maps, words = features(1, 12, 4, 6)
    cost = squared_distances(unit_rows(maps), words)
    plan = sinkhorn(cost.mT.contiguous(), 0.2, 3000, 0.0).plan()[0].T.numpy()
    expected = ot.sinkhorn(
        np.full(12, 1 / 12), np.full(4, 1 / 4), cost[0].numpy(), 0.2,
        method="sinkhorn_log", numItermax=20000, stopThr=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(plan, expected, atol=1e-9)
    np.testing.assert_allclose(plan.sum(1), 1 / 12, atol=1e-9)


@pytest.mark.parametrize("factor", [1e2, 1e4])
def test_large_costs_stay_exact(factor: float) -> None:
    """Against the iteration in logarithms, as published, of costs that are far above ε."""
    maps, words = features(2, 10, 4, 6)
    cost = factor * squared_distances(unit_rows(maps), words)
    epsilon, (n, m) = 1e-2, cost.shape[1:]
    u, v = cost.new_zeros(2, n), cost.new_zeros(2, m)
    for _ in range(20):
        scores = (u[:, :, None] + v[:, None] - cost) / epsilon
        u = u + epsilon * (-np.log(n) - scores.logsumexp(2))
        scores = (u[:, :, None] + v[:, None] - cost) / epsilon
        v = v + epsilon * (-np.log(m) - scores.logsumexp(1))
    expected = ((u[:, :, None] + v[:, None] - cost) / epsilon).exp()
    plan = sinkhorn(cost.mT.contiguous(), epsilon, 20, 0.0).plan().mT
    torch.testing.assert_close(plan, expected, rtol=1e-6 * factor, atol=1e-9)
    assert bool(sinkhorn(cost, epsilon, 20, 0.0).adjoint(cost).isfinite().all())


@pytest.mark.parametrize("steps", [1, 70])
def test_plan_and_adjoint_are_the_same_with_few_samples_at_a_time(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven samples of 5 x 30, one, two or five at a time; Newton's steps as well."""
    random = torch.Generator().manual_seed(0)
    cost, weights = torch.rand(2, 7, 5, 30, generator=random, dtype=torch.float64)

    def found() -> list[Tensor]:
        iterates = sinkhorn(cost, 1e-2, steps, 0.0)
        solution = newton(iterates, 1e-2)
        return [each for it in (iterates, solution) for each in (it.plan(), it.adjoint(weights))]

    whole = found()
    for entries in (1, 2 * 150, 5 * 150):
        monkeypatch.setattr("lico.losses.sinkhorn.CACHED_ENTRIES", entries)
        for few, all_at_once in zip(found(), whole, strict=True):
            torch.testing.assert_close(few, all_at_once, rtol=1e-12, atol=1e-14)


def test_published_setting_has_not_converged_and_says_so() -> None:
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 512, 49, generator=random).relu()
    words = torch.randn(2, 16, 49, generator=random)
    published = optimal_transport(maps, words, epsilon=1e-4, gradient="unrolled")
    converged = optimal_transport(maps, words, epsilon=1e-2, threshold=1e-6)
    assert float(published.marginal_error) > 0.3
    assert float(converged.marginal_error) < 5e-3


def test_dead_channel_has_its_true_distance() -> None:
    maps, words = torch.zeros(1, 1, 4), torch.ones(1, 1, 4)
    assert float(squared_distances(unit_rows(maps), words)) == pytest.approx(1)


def test_dead_channel_gets_no_gradient() -> None:
    maps = torch.zeros(1, 3, 4, requires_grad=True)
    optimal_transport(maps, torch.rand(1, 2, 4), epsilon=1e-2).cost.backward()
    assert maps.grad is not None
    assert torch.equal(maps.grad, torch.zeros(1, 3, 4))


@pytest.mark.parametrize(("channels", "tokens"), [(1, 1), (5, 1), (1, 4)])
def test_one_map_or_one_token(channels: int, tokens: int) -> None:
    maps, words = features(2, channels, tokens, 6)
    result = optimal_transport(maps, words, epsilon=1e-2, gradient="unrolled")
    expected = squared_distances(unit_rows(maps), words).mean((1, 2)).mean()
    torch.testing.assert_close(result.cost, expected)


def test_half_precision_inputs_give_a_single_precision_loss() -> None:
    maps, words = (each.bfloat16() for each in features())
    result = optimal_transport(maps, words, epsilon=1e-2)
    assert result.cost.dtype == torch.float32
    assert bool(result.cost.isfinite())


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="feature_maps"):
        optimal_transport(torch.zeros(2, 3, 4), torch.zeros(2, 3, 5), epsilon=1e-2)
