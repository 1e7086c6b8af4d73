"""SCH and the spurious share against their sums, and where they are not defined."""

import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import jaxtyped
from torch import Tensor

from lico.metrics import sch
from tests.metrics import literal

checked = jaxtyped(typechecker=beartype)
segmentation_content_heatmap = checked(sch.segmentation_content_heatmap)
spurious_share = checked(sch.spurious_share)


def maps_and_masks(batch: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(batch)
    saliency = torch.rand(batch, 6, 5, dtype=torch.float64, generator=random)
    kinds = torch.tensor([0, 1, 255], dtype=torch.uint8)
    return saliency, kinds[torch.randint(0, 3, (batch, 6, 5), generator=random)]


def test_sch_equals_its_equation_image_by_image() -> None:
    saliency, mask = maps_and_masks(6)
    expected = [literal.sch(h, m) for h, m in zip(saliency, mask, strict=True)]
    assert segmentation_content_heatmap(saliency, mask).tolist() == pytest.approx(expected)


def test_spurious_share_equals_its_sums_image_by_image() -> None:
    saliency, mask = maps_and_masks(6)
    expected = [literal.spurious_share(h, m == 0) for h, m in zip(saliency, mask, strict=True)]
    assert spurious_share(saliency, mask == 0).tolist() == pytest.approx(expected)


def test_two_by_two_by_hand_with_an_ignored_pixel() -> None:
    saliency = torch.tensor([[[0.5, 1.0], [0.25, 0.25]]])
    mask = torch.tensor([[[1, 255], [0, 1]]], dtype=torch.uint8)
    assert segmentation_content_heatmap(saliency, mask).item() == 0.75
    assert spurious_share(saliency, mask == 0).item() == 0.125


def test_undefined_cases() -> None:
    saliency = torch.tensor([[[1.0, 0.0]], [[0.0, 0.0]], [[1.0, 1.0]], [[1.0, 0.0]]])
    mask = torch.tensor([[[255, 1]], [[1, 0]], [[0, 0]], [[0, 1]]], dtype=torch.uint8)
    found = segmentation_content_heatmap(saliency, mask)
    assert found.isnan().tolist() == [True, True, True, False]
    assert found[3] == 0
    spurious = torch.tensor([[[True, False]], [[True, False]], [[False, False]], [[False, True]]])
    assert spurious_share(saliency, spurious).isnan().tolist() == [False, True, True, False]


@given(seed=st.integers(0, 10_000), factor=st.floats(1e-3, 1e3))
@settings(deadline=None, max_examples=50)
def test_a_share_of_any_scale_whose_complement_makes_one(seed: int, factor: float) -> None:
    random = torch.Generator().manual_seed(seed)
    saliency = torch.rand(1, 4, 4, dtype=torch.float64, generator=random)
    mask = (torch.rand(1, 4, 4, generator=random) < 0.5).to(torch.uint8)
    mask[0, 0, 0], mask[0, 0, 1] = 0, 1
    share = segmentation_content_heatmap(saliency, mask)
    assert 0 <= share.item() <= 1
    torch.testing.assert_close(segmentation_content_heatmap(saliency * factor, mask), share)
    torch.testing.assert_close(spurious_share(saliency, mask == 0), 1 - share)
