"""One training step of CGC over one of cross-entropy alone."""

from collections.abc import Iterator
from dataclasses import replace

import torch

from lico.benchmarks.cases import Case, batch_of, method_of, training_step
from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import Way, compared, interleaved
from lico.data.augment import apply_crop_flip, view_crop_flip
from lico.data.batch import Batch, PairedViews

CASES = [Case(224), Case(64)]
MORE_CASES = [Case(224, 64), Case(224, 32, model="resnet50")]


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Three forward passes and gradients of gradients, at each size."""
    for case in CASES + (MORE_CASES if setting.full else []):
        batch = _with_views(batch_of(case, setting.device), case.image_size)
        steps: dict[str, Way] = {
            name: training_step(
                method_of(case.config(f"method={name}"), case, setting.device), batch
            )
            for name in ("cgc", "ce")
        }
        words = "CGC step", "cross-entropy step, channels last"
        yield compared(f"cgc/{case.name}", interleaved(steps, setting), "cgc", "ce", words)


def _with_views(batch: Batch, size: int) -> Batch:
    crops = [view_crop_flip(size, (0.08, 1.0), 0, 0, index) for index in range(len(batch.labels))]
    views = [apply_crop_flip(x, c, size) for x, c in zip(batch.images, crops, strict=True)]
    cropped = torch.stack(views).contiguous(memory_format=torch.channels_last)
    return replace(batch, views=PairedViews(batch.images, cropped, crops))
