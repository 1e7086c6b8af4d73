"""Means, deviations and paired differences against a literal computation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lico.analysis.statistics import (
    Difference,
    Score,
    paired_difference,
    score,
    spread,
    verdict,
)

finite = st.floats(-1e6, 1e6)


def test_undefined_and_infinite_images_are_counted_and_left_out() -> None:
    values = np.array([1.0, math.nan, 3.0, math.inf, -math.inf, math.nan])
    assert score(values) == Score(2.0, 2, 2, 2)


def test_a_score_of_nothing() -> None:
    found = score(np.array([math.nan]))
    assert math.isnan(found.mean)
    assert found[1:] == (0, 1, 0)


@settings(deadline=None)
@given(st.lists(finite, min_size=2, max_size=9))
def test_spread_is_the_sample_deviation(values: list[float]) -> None:
    found = spread({f"run{i}": value for i, value in enumerate(values)})
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    assert found.n == len(values)
    assert found.mean == pytest.approx(mean, abs=1e-6)
    assert found.std == pytest.approx(math.sqrt(variance), abs=1e-6)


def test_one_seed_has_no_deviation_and_nan_is_not_counted() -> None:
    found = spread({"a": 0.5, "b": math.nan})
    assert (found.mean, found.std, found.n) == (0.5, None, 1)
    assert list(found.values) == ["a", "b"]


def test_a_paired_difference_by_hand() -> None:
    """d = 1, 2, 3: mean 2, std 1, and t(0.975, 2) = 4.3027 gives 4.3027 / √3."""
    found = paired_difference({1: 2.0, 2: 4.0, 3: 6.0, 4: 9.0}, {1: 1.0, 2: 2.0, 3: 3.0})
    assert found is not None
    assert (found.mean, found.std, found.n) == (2.0, 1.0, 3)
    assert found.half_width == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert found.noise == "within"


def test_differences_without_a_pair() -> None:
    assert paired_difference({1: 1.0}, {2: 1.0}) is None
    assert paired_difference({1: math.nan}, {1: 1.0}) is None
    single = paired_difference({1: 2.0}, {1: 1.5})
    assert single == Difference(0.5, None, 1, None)


@pytest.mark.parametrize(
    ("mean", "half_width", "published", "expected"),
    [
        (0.2, 0.1, 0.3, "same direction"),
        (-0.2, 0.1, 0.3, "opposite direction"),
        (0.2, 0.3, 0.3, "within noise"),
        (0.0, 0.0, 0.3, "within noise"),
        (0.2, 0.1, None, "beyond noise"),
        (0.2, None, 0.3, "same sign, one seed"),
        (0.2, None, -0.3, "opposite sign, one seed"),
        (0.2, None, None, None),
    ],
)
def test_verdicts(
    mean: float, half_width: float | None, published: float | None, expected: str | None
) -> None:
    std = None if half_width is None else 0.01
    assert verdict(Difference(mean, std, 3, half_width), published) == expected
