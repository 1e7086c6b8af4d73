"""Bad input is named: the tensor, the value, what is allowed."""

import pytest
import torch

from lico.losses.manifold_matching import manifold_matching
from lico.losses.optimal_transport import optimal_transport
from lico.methods.step import cross_entropy

SCALE = torch.tensor(14.3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_named(bad: float) -> None:
    good, labels = torch.rand(3, 5), torch.tensor([0, 1, 1])
    broken = good.clone()
    broken[1, 2] = bad
    with pytest.raises(ValueError, match=r"image_features \[3, 5\] with 1 values"):
        manifold_matching(broken, torch.rand(2, 4), labels, SCALE)
    with pytest.raises(ValueError, match=r"class_features \[3, 5\] with 1 values"):
        manifold_matching(good, broken, labels, SCALE)
    maps, tokens = torch.rand(2, 3, 4), torch.rand(2, 2, 4)
    maps[0, 0, 0] = bad
    with pytest.raises(ValueError, match=r"optimal_transport got feature_maps"):
        optimal_transport(maps, tokens, epsilon=0.1)
    with pytest.raises(ValueError, match=r"optimal_transport got tokens"):
        optimal_transport(tokens, maps, epsilon=0.1)


def test_large_finite_features_in_half_precision_are_let_through() -> None:
    """Their sum is infinite, they are not."""
    large = torch.full((3, 40), 6e4, dtype=torch.float16)
    loss = manifold_matching(large, torch.rand(2, 4), torch.tensor([0, 1, 1]), SCALE)
    assert bool(loss.isfinite())


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_without_a_row_is_named(label: int) -> None:
    labels = torch.tensor([0, label, 1])
    with pytest.raises(ValueError, match=rf"labels with {label}, but class_features has 2 rows"):
        manifold_matching(torch.rand(3, 5), torch.rand(2, 4), labels, SCALE)
    with pytest.raises(ValueError, match=r"labels go from .* 2 classes; .* in 0 to 1"):
        cross_entropy(torch.rand(3, 2), labels)


def test_shapes_that_do_not_match_are_named() -> None:
    with pytest.raises(ValueError, match=r"class_features \[2, 4, 1\]"):
        manifold_matching(torch.rand(3, 5), torch.rand(2, 4, 1), torch.zeros(3).long(), SCALE)
    with pytest.raises(ValueError, match=r"labels \[2\]"):
        manifold_matching(torch.rand(3, 5), torch.rand(2, 4), torch.zeros(2).long(), SCALE)
