"""SES against its equation, and where it is not defined."""

import math

import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import jaxtyped

from lico.metrics import ses
from tests.metrics import literal

saliency_equivariance_similarity = jaxtyped(typechecker=beartype)(
    ses.saliency_equivariance_similarity
)


def test_equals_its_equation_image_by_image() -> None:
    a, b = torch.rand(2, 5, 7, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = saliency_equivariance_similarity(a, b).tolist()
    assert found == pytest.approx([literal.ses(x, y) for x, y in zip(a, b, strict=True)])


def test_by_hand() -> None:
    a = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])
    b = torch.tensor([[[4.0, 0.0], [3.0, 0.0]]])
    assert saliency_equivariance_similarity(a, b).item() == pytest.approx(12 / 25)


def test_zero_maps_are_undefined_whichever_they_are() -> None:
    maps, zeros = torch.ones(1, 3, 3), torch.zeros(1, 3, 3)
    for a, b in ((maps, zeros), (zeros, maps), (zeros, zeros)):
        assert saliency_equivariance_similarity(a, b).isnan().all()


@given(seed=st.integers(0, 10_000), factor=st.floats(1e-30, 1e6))
@settings(deadline=None, max_examples=50)
def test_does_not_depend_on_the_scale_and_is_one_for_equal_maps(seed: int, factor: float) -> None:
    a, b = torch.rand(
        2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    value = saliency_equivariance_similarity(a, b).item()
    assert 0 <= value <= 1 + 1e-12
    assert math.isclose(saliency_equivariance_similarity(a * factor, b).item(), value)
    assert math.isclose(saliency_equivariance_similarity(a, a * factor).item(), 1)
