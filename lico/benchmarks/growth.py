"""How the cost of text and losses, without the backbone, grows with classes, batch and context."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from lico.benchmarks.cases import Case, batch_of, method_of
from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import Way, compared, interleaved
from lico.data.loading import Batch
from lico.methods.step import TrainingMethod

BASE = Case(224, 64, 100)
AXES: dict[str, list[int]] = {
    "classes": [10, 100, 1000],
    "batch": [16, 64, 256, 512],
    "context": [4, 12, 48],
}
CHANNELS, SIDE = 512, 7


class GivenMaps(nn.Module):
    """In the classifier's place: feature maps that are there already, and logits of theirs."""

    def __init__(self, maps: Tensor, classes: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(maps)
        self.classes = classes

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The images are not looked at."""
        return self.maps.new_zeros(len(images), self.classes), self.maps


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Each axis over its first value, and how the tokens grow that are encoded."""
    for reading in ("repro", "converged"):
        for axis, values in AXES.items():
            cases = [replace(BASE, **{axis: value}) for value in values]
            built = [_extra(case, reading, setting.device) for case in cases]
            ways: dict[str, Way] = {
                str(value): way for value, (way, _) in zip(values, built, strict=True)
            }
            seconds = interleaved(ways, setting)
            first, tokens = str(values[0]), built[0][1]
            for value, (_, own) in list(zip(values, built, strict=True))[1:]:
                words = (
                    f"text and losses, {axis} = {value}",
                    f"{axis} = {first}; tokens {own / tokens:.2f} times as many",
                )
                name = f"growth/{axis}-{value}/{reading}"
                yield compared(name, seconds, str(value), first, words)


def _extra(case: Case, reading: str, device: torch.device) -> tuple[Callable[[], None], int]:
    """Forward and backward of all but the backbone, and the tokens that are encoded for it."""
    method = method_of(case.config(f"reading={reading}"), case, device)
    small = Batch(torch.zeros(case.batch, 1, device=device), batch_of(case, device).labels)
    random = torch.Generator().manual_seed(0)
    maps = torch.randn(case.batch, CHANNELS, SIDE, SIDE, generator=random).relu().to(device)
    method.classifier = GivenMaps(maps, case.classes)
    distinct = len(small.labels.unique())
    return _forward_backward(method, small), 1 + case.context + distinct * 4


def _forward_backward(method: TrainingMethod, batch: Batch) -> Callable[[], None]:
    def run() -> None:
        method(batch, 0).loss.backward()
        method.zero_grad()

    return run
