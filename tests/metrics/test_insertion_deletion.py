"""Insertion and deletion against pixel-by-pixel loops, hand-solved pictures, and invariants."""

import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import jaxtyped
from torch import Tensor

from lico.metrics import insertion_deletion
from lico.metrics.insertion_deletion import fractions, gaussian_blur
from tests.metrics import literal

checked = jaxtyped(typechecker=beartype)
insertion_deletion_curves = checked(insertion_deletion.insertion_deletion_curves)
prepare_trial = checked(insertion_deletion.prepare_trial)
area_under_curve = checked(insertion_deletion.area_under_curve)


class Network:
    """A small non-linear classifier of 3 classes that counts what it is asked."""

    def __init__(self, size: int) -> None:
        random = torch.Generator().manual_seed(1)
        self.weight = torch.randn(3 * size * size, 3, generator=random, dtype=torch.float64)
        self.asked: list[int] = []

    def __call__(self, images: Tensor) -> Tensor:
        self.asked.append(len(images))
        return (images.flatten(1).sin() @ self.weight / 4).softmax(1)


def pictures(batch: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(batch)
    images = torch.randn(batch, 3, size, size, generator=random, dtype=torch.float64)
    saliency = torch.rand(batch, size, size, generator=random, dtype=torch.float64)
    return images, saliency, torch.randint(0, 3, (batch,), generator=random)


def curves(
    network: Network, images: Tensor, saliency: Tensor, targets: Tensor, step: int, chunk: int
) -> tuple[Tensor, Tensor]:
    trial = prepare_trial(network, images, targets, network(images))
    return insertion_deletion_curves(network, trial, saliency, pixels_per_step=step, chunk=chunk)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("step", [1, 4, 7, 24, 36, 99])
def test_equals_changing_one_pixel_after_another(step: int, *, tied: bool) -> None:
    network = Network(6)
    images, saliency, targets = pictures(3, 6)
    saliency = (saliency * 3).ceil() if tied else saliency
    found = curves(network, images, saliency, targets, step, 5)
    for i in range(3):
        blurred, nothing = literal.blur(images[i]), torch.zeros_like(images[i])
        ends = ((blurred, images[i]), (images[i], nothing))
        for curve, (start, end) in zip(found, ends, strict=True):
            shares, values = literal.curve(
                lambda image: network(image[None])[0],
                start,
                end,
                saliency[i],
                int(targets[i]),
                step,
            )
            expected = torch.tensor(values, dtype=torch.float64)
            torch.testing.assert_close(curve[i], expected, rtol=1e-10, atol=1e-12)
            assert fractions(36, step).tolist() == shares
            area = area_under_curve(curve, fractions(36, step))[i]
            assert area.item() == pytest.approx(literal.area(shares, values), abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 2, 7, 1000])
def test_the_chunk_bounds_what_is_asked_at_once_and_changes_nothing(chunk: int) -> None:
    images, saliency, targets = pictures(2, 6)
    expected = curves(Network(6), images, saliency, targets, 5, 3)
    network = Network(6)
    found = curves(network, images, saliency, targets, 5, chunk)
    assert max(network.asked) <= max(chunk, 2)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_what_no_map_changes_is_asked_once() -> None:
    network = Network(6)
    images, saliency, targets = pictures(4, 6)
    trial = prepare_trial(network, images, targets, network(images))
    assert network.asked == [4, 1, 4]  # the images, nothing, the blurred images
    for _ in range(3):
        network.asked.clear()
        insertion_deletion_curves(network, trial, saliency, pixels_per_step=9, chunk=4)
        assert sum(network.asked) == 2 * 4 * 3  # 5 points, of which the ends are known


def test_two_by_two_picture_by_hand() -> None:
    """Deleting 8, 4, 2, 1 in the order of saliency from a classifier that adds up the pixels."""
    image = torch.tensor([[8.0, 1.0], [2.0, 4.0]]).expand(1, 3, 2, 2)
    saliency = torch.tensor([[[0.9, 0.1], [0.5, 0.7]]])

    def probability(images: Tensor) -> Tensor:
        return images[:, 0].sum((1, 2), keepdim=True)[:, 0] / 15

    targets = torch.zeros(1, dtype=torch.long)
    trial = prepare_trial(probability, image, targets, probability(image))
    _, deletion = insertion_deletion_curves(
        probability, trial, saliency, pixels_per_step=1, chunk=8
    )
    torch.testing.assert_close(deletion, torch.tensor([[15.0, 7.0, 3.0, 1.0, 0.0]]) / 15)
    area = area_under_curve(deletion, fractions(4, 1))
    torch.testing.assert_close(area, torch.tensor([(11 + 5 + 2 + 0.5) / 4 / 15]).double())


def test_a_map_of_zeros_gives_nan_for_its_image_alone() -> None:
    images, saliency, targets = pictures(3, 6)
    saliency[1] = 0
    for curve in curves(Network(6), images, saliency, targets, 5, 4):
        area = area_under_curve(curve, fractions(36, 5))
        assert area.isnan().tolist() == [False, True, False]


def test_blur_is_a_gaussian_of_sum_one_with_zeros_beyond_the_edge() -> None:
    image = torch.randn(1, 3, 13, 9, dtype=torch.float64)
    torch.testing.assert_close(gaussian_blur(image)[0], literal.blur(image[0]))
    inner = gaussian_blur(torch.ones(1, 1, 13, 13, dtype=torch.float64))[0, 0, 6, 6]
    assert inner.item() == pytest.approx(1)


@given(pixels=st.integers(1, 400), step=st.integers(1, 450))
@settings(deadline=None)
def test_fractions_rise_from_zero_to_one(pixels: int, step: int) -> None:
    shares = fractions(pixels, step)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert (shares.diff() > 0).all()
    constant = torch.full((1, len(shares)), 0.25)
    assert area_under_curve(constant, shares).item() == pytest.approx(0.25)


@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 10))
@settings(deadline=None, max_examples=20)
def test_only_the_order_of_the_saliency_matters(seed: int, factor: float) -> None:
    images, _, targets = pictures(2, 6)
    saliency = torch.randperm(72, generator=torch.Generator().manual_seed(seed)).view(2, 6, 6) + 1.0
    network = Network(6)
    first = curves(network, images, saliency, targets, 5, 9)
    second = curves(network, images, (saliency * factor) ** 3, targets, 5, 9)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)
