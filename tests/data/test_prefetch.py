"""Reading ahead changes nothing but the time."""

import threading

import pytest
import torch
from torch import Tensor

from lico.data.prefetch import sample_batches
from lico.data.sample import Sample


class Numbers:
    """Ten images whose pixels are their index; some cannot be read."""

    def __init__(self, broken: int | None = None) -> None:
        self.name, self.class_names = "numbers", ["one"]
        self.mean = self.std = (1.0, 1.0, 1.0)
        self.labels = torch.zeros(10, dtype=torch.long)
        self.broken = broken
        self.readers: set[int] = set()

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Sample:
        self.readers.add(threading.get_ident())
        if index == self.broken:
            raise OSError(f"image {index} cannot be read")
        return Sample(torch.full((3, 2, 2), index, dtype=torch.uint8), 0, None, torch.zeros(0, 4))

    def image_id(self, index: int) -> str:
        return str(index)


def values(image: Tensor) -> int:
    return int(image[0, 0, 0])


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 3, 4, 10, 99])
def test_batches_are_in_order(size: int, threads: int) -> None:
    data = Numbers()
    found = [[values(s.image) for s in batch] for batch in sample_batches(data, size, threads)]
    assert found == [list(range(10))[start : start + size] for start in range(0, 10, size)]
    assert (threading.get_ident() in data.readers) == (threads == 0)


@pytest.mark.parametrize("threads", [0, 3])
def test_what_cannot_be_read_is_said_at_its_place(threads: int) -> None:
    batches = sample_batches(Numbers(broken=5), 2, threads)
    assert [values(next(batches)[0].image) for _ in range(2)] == [0, 2]
    with pytest.raises(OSError, match="image 5"):
        next(batches)


def test_it_can_be_left_early() -> None:
    before = set(threading.enumerate())
    batches = sample_batches(Numbers(), 2, 3)
    next(batches)
    assert set(threading.enumerate()) > before
    batches.close()
    assert set(threading.enumerate()) <= before
