"""Squared distances of normalised rows against loops over pairs."""

import pytest
import torch
from torch import Tensor

from lico.losses.manifold_matching import difference_distances, product_distances
from lico.losses.squared_distances import squared_distances
from lico.losses.unit_rows import unit_rows
from tests.losses import literal


def rows(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Two problems of 4 and 9 rows; the first of each side is zero, and one pair is equal."""
    random = torch.Generator().manual_seed(5)
    x = torch.randn(2, 4, 6, generator=random, dtype=torch.float64)
    y = torch.randn(2, 9, 6, generator=random, dtype=torch.float64)
    x[0, 0], y[0, 0], y[1, 1] = 0, 0, 3 * x[1, 1]
    return x.to(dtype), y.to(dtype)


def literally(x: Tensor, y: Tensor) -> Tensor:
    def each(b: int, n: int, m: int) -> Tensor:
        return (literal.unit(x[b, n]) - literal.unit(y[b, m])).square().sum()

    return torch.stack(
        [
            torch.stack([torch.stack([each(b, n, m) for m in range(9)]) for n in range(4)])
            for b in range(2)
        ]
    )


@pytest.mark.parametrize("lies", ["row by row", "column by column"])
def test_values_and_gradients_of_both_sides(lies: str) -> None:
    x, y = rows()
    if lies == "column by column":  # as feature maps that lie channels last
        y = y.mT.contiguous().mT
    leaves = x.requires_grad_(), y.requires_grad_()
    weights = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    ours, expected = squared_distances(unit_rows(leaves[0]), leaves[1]), literally(*leaves)
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-14)
    found = torch.autograd.grad((weights * ours).sum(), leaves)
    true = torch.autograd.grad((weights * expected).sum(), leaves)
    for mine, theirs in zip(found, true, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_lower_precisions_are_computed_in_single(dtype: torch.dtype) -> None:
    leaves = [each.requires_grad_() for each in rows(dtype)]
    same = [each.detach().double().requires_grad_() for each in leaves]
    ours, exact = squared_distances(unit_rows(leaves[0]), leaves[1]), literally(*same)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1e-6)
    found = torch.autograd.grad(ours.square().sum(), leaves)
    true = torch.autograd.grad(exact.square().sum(), same)
    for mine, theirs in zip(found, true, strict=True):
        assert mine.dtype == dtype
        rounding = torch.finfo(dtype).eps
        torch.testing.assert_close(mine.double(), theirs, rtol=rounding, atol=1e-5)


def test_equal_directions_are_at_distance_zero() -> None:
    x, y = rows()
    assert float(squared_distances(unit_rows(x), y)[1, 1, 1]) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("entries", [1, 3 * 5 * 8, 10**6])
def test_differences_are_the_same_however_many_are_made_at_a_time(
    entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five rows of width 8, two of them equal, against all differences at once."""
    monkeypatch.setattr("lico.losses.manifold_matching.CACHED_ENTRIES", entries)
    random = torch.Generator().manual_seed(0)
    nearly = 1 + 1e-6 * torch.randn(5, 8, generator=random, dtype=torch.float64)
    nearly[3] = nearly[1]
    nearly.requires_grad_()
    weights = torch.randn(5, 5, generator=random, dtype=torch.float64)
    squared = (nearly[:, None] - nearly).square().sum(2)
    expected = torch.where(squared > 0, squared, 1).sqrt() * (squared > 0)
    ours = difference_distances(nearly)
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=0)
    assert ours[1, 3].item() == 0
    (found,) = torch.autograd.grad((weights * ours).sum(), nearly)
    (true,) = torch.autograd.grad((weights * expected).sum(), nearly)
    torch.testing.assert_close(found, true, rtol=1e-8, atol=1e-12)


def test_distances_by_products_are_those_of_unit_rows() -> None:
    """A row of zeros, two equal rows and one three times as long as another."""
    base = torch.randn(6, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    base[0], base[4], base[5] = 0, base[3], 3 * base[2]
    base.requires_grad_()
    unit = torch.stack([literal.unit(row) for row in base])
    squared = (unit[:, None] - unit).square().sum(2)
    apart = squared > 1e-20
    expected = torch.where(apart, squared, 1).sqrt() * apart
    ours = product_distances(base)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-7)
    assert ours[3, 4].item() == 0
    pairs = torch.ones_like(ours).tril(-1)
    pairs[5, 2] = pairs[4, 3] = 0  # equal directions: a corner
    (found,) = torch.autograd.grad((pairs * ours).sum(), base)
    (true,) = torch.autograd.grad((pairs * expected).sum(), base)
    torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-12)
