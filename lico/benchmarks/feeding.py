"""Training fed from a packed file over the same training on tensors that are on the device."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice, repeat

import torch

from lico.benchmarks.cases import Case, batch_of, method_of, training_step
from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import compared, interleaved
from lico.benchmarks.pictures import CLASSES, pictures
from lico.data.batch import Batch
from lico.data.loading import BatchLoader
from lico.data.packed.images import PackedImages

STEPS = {"cuda": 50, "cpu": 2}
CASE = Case(batch=64, classes=CLASSES)


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Some steps of ResNet-18 at 224 pixels, in 16 bits on a GPU; cores beside one decode."""
    steps = STEPS[setting.device.type]
    with pictures(CASE.batch * min(steps, 12)) as made:
        loader = BatchLoader(
            PackedImages(made.packed, "train"), size=CASE.image_size, batch_size=CASE.batch,
            seed=0, augment=True, crop_scale=(0.08, 1.0), device=setting.device,
            workers=max(1, len(os.sched_getaffinity(0)) - 1),
        )  # fmt: skip
        method = method_of(CASE.config("method=ce"), CASE, setting.device)
        epochs = -(-steps // len(loader))

        def train(batches: Iterable[Batch]) -> None:
            on_gpu = setting.device.type == "cuda"
            with torch.autocast(setting.device.type, torch.float16, enabled=on_gpu):
                for batch in islice(batches, steps):
                    training_step(method, batch)()

        def fed() -> None:
            train(batch for epoch in range(epochs) for batch in loader.epoch(epoch))

        resident = batch_of(CASE, setting.device)

        def unfed() -> None:
            train(repeat(resident))

        seconds = interleaved({"fed": fed, "unfed": unfed}, setting)
        words = f"{steps} steps from a packed file", "the same steps on one batch on the device"
        yield compared(f"feeding/{CASE.name}", seconds, "fed", "unfed", words)
