"""RISE against its equation, and the statistics of its masks."""

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch import Tensor

from lico.config import Rise
from lico.saliency import rise
from tests.saliency import literal
from tests.saliency.networks import Flattened, pictures

rise_maps = jaxtyped(typechecker=beartype)(rise.rise_maps)
random_masks = jaxtyped(typechecker=beartype)(rise.random_masks)


@pytest.mark.parametrize("chunk", [1, 4, 7, 100])
def test_equals_its_equation_whatever_the_chunk(chunk: int) -> None:
    network = Flattened(24)
    images, targets = pictures(3)
    masks = random_masks(Rise(masks=11, cells=5, keep_probability=0.4), 24, seed=1).double()
    asked: list[int] = []

    @torch.no_grad()
    def probability(masked: Tensor) -> Tensor:
        asked.append(len(masked))
        return network(masked).softmax(1)

    found = rise_maps(probability, images, targets, masks, 0.4, chunk=chunk)
    assert sum(asked) == 33
    assert max(asked) <= max(chunk, 3)
    for i, each in enumerate(found):
        expected = literal.rise(
            images[i], lambda image: probability(image[None])[0], int(targets[i]), masks, 0.4
        )
        torch.testing.assert_close(each, expected)


def test_a_mask_by_hand_from_its_grid() -> None:
    """One cell grown to 2 × 8 pixels is constant; where grids are mixed, masks are bilinear."""
    for mask in random_masks(Rise(masks=20, cells=1), 8, seed=0):
        assert mask.unique().numel() == 1
    settings = Rise(masks=6, cells=3)
    random = rise.generator("rise", 5, 6, 3, 10)
    grids = torch.from_numpy(random.random((6, 1, 3, 3)) < 0.5)[:, 0].float()
    corners = random.integers(0, 4, (6, 2))
    for grid, (y, x), mask in zip(
        grids, corners.tolist(), random_masks(settings, 10, seed=5), strict=True
    ):
        torch.testing.assert_close(literal.bilinear(grid, 16)[y : y + 10, x : x + 10], mask)


@pytest.mark.parametrize("size", [7, 32, 45])
@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_masks_have_the_asked_mean_everywhere(size: int, keep: float) -> None:
    masks = random_masks(Rise(masks=4000, cells=7, keep_probability=keep), size, seed=0)
    assert masks.shape == (4000, size, size)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert (masks.mean(0) - keep).abs().max() < 5 * (keep * (1 - keep) / 4000) ** 0.5
    assert abs(masks.mean().item() - keep) < 0.01


def test_masks_depend_on_the_seed_alone() -> None:
    random = torch.get_rng_state()
    first, second = (random_masks(Rise(masks=5), 24, seed=3) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, random_masks(Rise(masks=5), 24, seed=4))
    assert torch.equal(torch.get_rng_state(), random)


def test_finds_the_one_pixel_that_matters() -> None:
    images = torch.ones(1, 3, 28, 28)
    masks = random_masks(Rise(masks=3000, cells=7), 28, seed=0)
    found = rise_maps(
        lambda masked: masked[:, 0, 9:10, 20], images, torch.tensor([0]), masks, 0.5, chunk=500
    )
    row, column = divmod(int(found.argmax()), 28)
    assert abs(row - 9) <= 1
    assert abs(column - 20) <= 1
