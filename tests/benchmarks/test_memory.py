"""Memory of tensors is what the tensors of a step come to."""

import pytest

from lico.benchmarks.cases import Case
from lico.benchmarks.measure import in_own_process
from lico.benchmarks.memory import tensor_bytes

PARAMETERS = 11_689_512 - 513 * 1000 + 513 * 10  # of ResNet-18 with 10 classes
FLOAT = 4


def test_a_baseline_holds_weights_gradients_momentum_and_what_its_layers_keep() -> None:
    """Each picture more costs the same; what is left without any are the first three."""
    small, medium, large = (
        in_own_process(tensor_bytes, Case(64, batch, 10), "baseline", "cpu", 1)
        for batch in (8, 16, 24)
    )
    assert large - medium == pytest.approx(medium - small, rel=0.02)
    left = small - (medium - small)
    assert left == pytest.approx(3 * PARAMETERS * FLOAT, rel=0.05)


def test_lico_adds_the_frozen_tower() -> None:
    """Twelve layers of 12 · 512² weights each, half of it in bfloat16."""
    tower = 12 * 12 * 512**2
    baseline, full, half = (
        in_own_process(tensor_bytes, Case(64, 8, 10), way, "cpu", 1)
        for way in ("baseline", "authors", "authors-bfloat16")
    )
    assert FLOAT * tower < full - baseline < 1.5 * FLOAT * tower
    assert full - half == pytest.approx(2 * tower, rel=0.2)
