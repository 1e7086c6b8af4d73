"""MOSU against its equation with fractional boxes, and where it is not defined."""

import math

import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import jaxtyped
from torch import Tensor

from lico.metrics import mosu
from tests.metrics import literal

multi_object_saliency_uniformity = jaxtyped(typechecker=beartype)(
    mosu.multi_object_saliency_uniformity
)
edges = st.floats(-3, 12, width=32)
boxes_of_an_image = st.lists(st.tuples(edges, edges, edges, edges), max_size=4)


def as_boxes(corners: list[tuple[float, float, float, float]]) -> Tensor:
    return torch.tensor(corners, dtype=torch.float32).view(-1, 4)


@given(boxes=st.lists(boxes_of_an_image, min_size=1, max_size=4), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_equals_its_equation_whatever_the_boxes(
    boxes: list[list[tuple[float, float, float, float]]], seed: int
) -> None:
    """Boxes may be fractional, beyond the image, inside out, overlapping or absent."""
    random = torch.Generator().manual_seed(seed)
    saliency = torch.rand(len(boxes), 7, 9, dtype=torch.float64, generator=random) + 0.01
    given_boxes = [as_boxes(each) for each in boxes]
    found = multi_object_saliency_uniformity(saliency, given_boxes).tolist()
    expected = [literal.mosu(h, b) for h, b in zip(saliency, given_boxes, strict=True)]
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def test_two_boxes_by_hand() -> None:
    """Areas 1 : 3, saliency 1 : 1."""
    saliency = torch.tensor([[[3.0, 1.0, 1.0, 1.0]]])
    boxes = [torch.tensor([[0.0, 0, 1, 1], [1, 0, 4, 1]])]
    expected = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    assert multi_object_saliency_uniformity(saliency, boxes).item() == pytest.approx(expected)


def test_saliency_in_proportion_to_area_is_perfect_even_for_parts_of_pixels() -> None:
    boxes = [torch.tensor([[0.25, 0.5, 2.75, 3.0], [4.1, 1.3, 7.9, 6.2], [0, 0, 8, 8]])]
    assert multi_object_saliency_uniformity(torch.ones(1, 8, 8), boxes).item() == pytest.approx(0)


def test_undefined_and_infinite_cases() -> None:
    saliency = torch.zeros(6, 4, 4)
    saliency[:, 0, 0] = 1
    saliency[3] = 0
    first, second, outside = [0.0, 0, 1, 1], [2.0, 2, 4, 4], [-4.0, -4, 0, 0]
    cases = [[], [first], [first, outside], [first, second], [second, second], [first, second]]
    found = multi_object_saliency_uniformity(saliency, [torch.tensor(x).view(-1, 4) for x in cases])
    assert found[:5].isnan().all()
    assert found[5].item() == math.inf


def test_images_without_any_box() -> None:
    found = multi_object_saliency_uniformity(torch.ones(2, 4, 4), [torch.zeros(0, 4)] * 2)
    assert found.isnan().all()
