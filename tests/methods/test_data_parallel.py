"""Processes that share a batch have the losses and gradients of one that has it whole."""

from functools import lru_cache
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from lico.data_parallel import Parts, parts_of
from tests.methods.shared_batch import IMAGES, METHODS, Result, process, step

Results = dict[str, Result]


@lru_cache
def alone(name: str) -> Result:
    """On one thread, as the processes: what never changes is encoded in single precision."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return step(name, slice(IMAGES))
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Results]:
    folder: Path = tmp_path_factory.mktemp("shared")
    multiprocessing.spawn(process, (folder,), nprocs=4)
    return {processes: torch.load(folder / f"{processes}.pt") for processes in (2, 4)}


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("name", [*METHODS, "not told"])
def test_loss_scalars_and_gradients_are_those_of_the_whole_batch(
    shared: dict[int, Results], name: str, processes: int
) -> None:
    whole = alone("converged" if name == "not told" else name)
    found = shared[processes][name]
    assert found.keys() == whole.keys()
    for key, expected in whole.items():
        torch.testing.assert_close(found[key], expected, rtol=1e-8, atol=1e-11, msg=key)


def test_parts_have_shares_that_average_to_one() -> None:
    sizes = (3, 2, 2)
    parts = [Parts(sizes, rank) for rank in range(3)]
    assert sum(part.share for part in parts) / 3 == pytest.approx(1)
    assert [part.own for part in parts] == [slice(0, 3), slice(3, 5), slice(5, 7)]
    assert not parts[0].alone


def test_one_process_has_all() -> None:
    parts = parts_of(torch.zeros(5), 5)
    assert parts == Parts((5,))
    assert (parts.share, parts.own, parts.alone) == (1, slice(0, 5), True)
