"""Top-k accuracy against sorting, with ties."""

import pytest
import torch
from beartype import beartype
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import jaxtyped

from lico.metrics import accuracy
from tests.metrics import literal

top_k_correct = jaxtyped(typechecker=beartype)(accuracy.top_k_correct)


@given(
    rows=st.lists(st.lists(st.integers(-2, 2), min_size=6, max_size=6), min_size=1, max_size=5),
    k=st.integers(1, 6),
    data=st.data(),
)
@settings(deadline=None)
def test_equals_sorting_with_ties_by_index(
    rows: list[list[int]], k: int, data: st.DataObject
) -> None:
    classes = st.integers(0, 5)
    labels = data.draw(st.lists(classes, min_size=len(rows), max_size=len(rows)))
    found = top_k_correct(torch.tensor(rows).float(), torch.tensor(labels), k)
    expected = [
        literal.top_k_correct([float(x) for x in row], label, k)
        for row, label in zip(rows, labels, strict=True)
    ]
    assert found.tolist() == expected


def test_constant_logits_are_right_for_the_first_classes_alone() -> None:
    found = top_k_correct(torch.zeros(4, 4), torch.arange(4), 2)
    assert found.tolist() == [True, True, False, False]


@pytest.mark.parametrize("k", [0, 4])
def test_k_out_of_range_names_what_is_allowed(k: int) -> None:
    with pytest.raises(ValueError, match=f"top-{k} of 3 classes; k must be 1 to 3"):
        top_k_correct(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long), k)
