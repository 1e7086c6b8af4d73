"""The benchmarks of data and CGC run, in small, and compare what they say they compare."""

import math
from types import ModuleType

import pytest
import torch
from torchvision.datasets import ImageFolder

from lico.benchmarks import cgc, feeding, packed, packing, resident
from lico.benchmarks.cases import Case
from lico.benchmarks.figure import Setting
from lico.benchmarks.pictures import pictures
from lico.data.packed.images import PackedImages

CPU = Setting(torch.device("cpu"), threads=1, rounds=2)
SMALL: dict[ModuleType, dict[str, object]] = {
    packed: {"COUNT": 8, "BATCH": 4, "SIZE": 32, "EPOCHS": 1, "MAX_SIDE": 64},
    packing: {"COUNT": 8, "BATCH": 4, "SIZE": 32},
    resident: {"COUNT": 8, "BATCH": 4, "SIZE": 33},
    cgc: {"CASES": [Case(32, 2)]},
    feeding: {"CASE": Case(32, 4, 4, "small_resnet")},
}


@pytest.mark.parametrize("module", SMALL, ids=lambda module: module.__name__.rpartition(".")[2])
def test_figures_are_ratios_of_what_was_measured(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SMALL[module].items():
        monkeypatch.setattr(module, name, value)
    figures = list(module.benchmark(CPU))
    assert figures
    assert len({figure.name for figure in figures}) == len(figures)
    for figure in figures:
        assert min(figure.value, figure.against_value) > 0
        assert figure.spread[0] <= figure.ratio <= figure.spread[1]
        assert math.isfinite(figure.ratio)


def test_the_pictures_are_the_same_in_folders_and_packed() -> None:
    with pictures(6) as made:
        folders, data = ImageFolder(str(made.folders)), PackedImages(made.packed, "train")
        assert data.labels.tolist() == folders.targets
        sizes = [len(data.file_content(index)) for index in range(6)]
        assert 80_000 < sum(sizes) / 6 < 150_000  # as ImageNet's
    assert not made.folders.exists()
