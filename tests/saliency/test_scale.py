"""Scaling to [0, 1] and enlarging."""

import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import jaxtyped

from lico.saliency import scale
from tests.saliency import literal

scale_to_unit = jaxtyped(typechecker=beartype)(scale.scale_to_unit)
enlarge = jaxtyped(typechecker=beartype)(scale.enlarge)
numbers = st.floats(-1e6, 1e6, width=32)


@given(st.lists(st.lists(numbers, min_size=6, max_size=6), min_size=1, max_size=4))
@settings(deadline=None)
def test_each_map_spans_zero_to_one_unless_it_is_constant(rows: list[list[float]]) -> None:
    maps = torch.tensor(rows).view(-1, 2, 3)
    for each, scaled in zip(maps, scale_to_unit(maps), strict=True):
        if each.min() == each.max():
            assert not scaled.any()
        else:
            assert scaled.min() == 0
            assert scaled.max() == 1
            assert scaled.flatten()[each.argmax()] == 1


def test_a_weak_map_is_as_good_as_a_strong_one() -> None:
    weak = torch.tensor([[[0.0, 1e-30], [5e-31, 0.0]]])
    expected = torch.tensor([[[0.0, 1.0], [0.5, 0.0]]])
    torch.testing.assert_close(scale_to_unit(weak), expected)


def test_enlarging_is_bilinear_with_half_pixel_centres() -> None:
    maps = torch.rand(3, 4, 6, dtype=torch.float64)
    expected = torch.stack([literal.bilinear(each, 17) for each in maps])
    torch.testing.assert_close(enlarge(maps, 17), expected)


def test_a_map_of_the_image_size_is_left_as_it_is() -> None:
    maps = torch.rand(2, 9, 9)
    assert enlarge(maps, 9) is maps
