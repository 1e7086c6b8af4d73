"""Manifold matching against its equation, and where it could break."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lico.losses.manifold_matching import manifold_matching
from tests.losses import literal

Case = tuple[Tensor, Tensor, Tensor, Tensor]


def case(batch: int, classes: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Case:
    random = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, 20, generator=random, dtype=dtype)
    base = torch.randn(1, 12, generator=random, dtype=dtype)
    text = base + 0.05 * torch.randn(classes, 12, generator=random, dtype=dtype)
    labels = torch.randint(0, classes, (batch,), generator=random)
    return images, text, labels, torch.tensor(14.3, dtype=dtype)


def value_and_gradients(function: object, inputs: Case) -> list[Tensor]:
    images, text, labels, scale = inputs
    leaves = [each.clone().requires_grad_() for each in (images, text, scale)]
    loss = function(leaves[0], leaves[1], labels, leaves[2])  # type: ignore[operator]
    return [loss.detach(), *torch.autograd.grad(loss, leaves, allow_unused=True)]


@pytest.mark.parametrize(("batch", "classes"), [(1, 1), (2, 1), (2, 2), (7, 3), (8, 12)])
def test_equals_its_equation_with_gradients(batch: int, classes: int) -> None:
    inputs = case(batch, classes)
    ours = value_and_gradients(manifold_matching, inputs)
    expected = value_and_gradients(literal.manifold_matching, inputs)
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-10)


def test_single_precision_is_close_to_double() -> None:
    double = value_and_gradients(manifold_matching, case(8, 4))
    images, text, labels, scale = case(8, 4)
    single = value_and_gradients(
        manifold_matching, (images.float(), text.float(), labels, scale.float())
    )
    for mine, exact in zip(single, double, strict=True):
        torch.testing.assert_close(mine.double(), exact, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs_are_computed_in_single(dtype: torch.dtype) -> None:
    images, text, labels, scale = case(6, 3, torch.float32)
    loss = manifold_matching(images.to(dtype), text.to(dtype), labels, scale)
    exact = manifold_matching(images.to(dtype).float(), text.to(dtype).float(), labels, scale)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact)


def test_one_class_and_equal_images_give_finite_gradients() -> None:
    images = torch.ones(4, 6, requires_grad=True)
    text = torch.ones(1, 5, requires_grad=True)
    scale = torch.tensor(14.0, requires_grad=True)
    loss = manifold_matching(images, text, torch.zeros(4, dtype=torch.int64), scale)
    loss.backward()
    assert loss.item() == 0
    for leaf in (images, text, scale):
        assert leaf.grad is not None
        assert torch.equal(leaf.grad, torch.zeros_like(leaf))


def test_hand_solved_pair() -> None:
    """Two orthogonal images of one class: A_F = softmax(0, -√2), A_G = (1/2, 1/2)."""
    loss = manifold_matching(
        torch.eye(2), torch.ones(1, 3), torch.zeros(2, dtype=torch.int64), torch.tensor(1.0)
    )
    near = 1 / (1 + torch.tensor(-(2**0.5)).exp())
    expected = 0.5 * (0.5 / near).log() + 0.5 * (0.5 / (1 - near)).log()
    torch.testing.assert_close(loss, expected)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 999))
def test_is_a_divergence_and_ignores_the_order_of_the_batch(b: int, k: int, seed: int) -> None:
    images, text, labels, scale = case(b, k, seed=seed)
    loss = manifold_matching(images, text, labels, scale)
    order = torch.randperm(b, generator=torch.Generator().manual_seed(seed))
    assert float(loss) >= -1e-12
    torch.testing.assert_close(manifold_matching(images[order], text, labels[order], scale), loss)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="image_features"):
        manifold_matching(
            torch.zeros(2, 3, 4), torch.zeros(1, 2), torch.zeros(2).long(), torch.tensor(1.0)
        )
