import pytest
import torch
from torch import Tensor

from lico.distinct import distinct

BATCHES = [[3], [2, 2, 2], [0, 1, 2, 3], [3, 0, 3, 1], [1, 4, 0, 4, 4, 1, 0, 2, 2]]


@pytest.fixture(params=["as_needed", "fixed"])
def shapes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "fixed":
        monkeypatch.setattr("lico.distinct.AT_HAND", frozenset[str]())
    return request.param


@pytest.mark.parametrize("batch", BATCHES, ids=str)
def test_every_image_finds_its_text(batch: list[int], shapes: str) -> None:
    labels = torch.tensor(batch)
    texts, rows = distinct(labels, 5)
    assert torch.equal(texts[rows], labels)
    count = len(set(batch))
    assert texts[:count].tolist() == sorted(set(batch))
    assert len(texts) == (min(len(batch), 5) if shapes == "fixed" else count)
    assert bool((rows < count).all()), "nothing refers to what fills the rest"


def test_fixed_shapes_do_not_depend_on_the_batch(shapes: str) -> None:
    def lengths(*batches: Tensor) -> set[int]:
        return {len(distinct(each, 3)[0]) for each in batches}

    found = lengths(torch.tensor([0, 0, 0, 0]), torch.tensor([0, 1, 2, 0]))
    assert found == ({3} if shapes == "fixed" else {1, 3})
