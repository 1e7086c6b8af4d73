"""CIFAR-100's training pictures from the device over a DataLoader that augments each by Pillow."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import Way, compared, interleaved
from lico.benchmarks.pictures import usual_views
from lico.data.cifar100 import MEAN, STD
from lico.data.resident import ResidentLoader

COUNT, BATCH, SIZE = 512, 64, 224


class _Pictures(Dataset[tuple[Tensor, int]]):
    """As torchvision's CIFAR100 gives them."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.cut = usual_views(SIZE, MEAN, STD)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image: Any = self.cut(Image.fromarray(self.pixels[index]))
        return image, 0


def benchmark(setting: Setting) -> Iterator[Figure]:
    """One epoch of pictures enlarged to 224, on the device in the end."""
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), dtype=np.uint8)
    resident = ResidentLoader(
        torch.from_numpy(pixels), torch.zeros(COUNT, dtype=torch.int64), MEAN, STD,
        size=SIZE, batch_size=BATCH, seed=0, augment=True, crop_scale=(0.08, 1.0),
        device=setting.device,
    )  # fmt: skip
    theirs = DataLoader(
        _Pictures(pixels), BATCH, shuffle=True, num_workers=setting.threads,
        persistent_workers=True, pin_memory=setting.device.type == "cuda",
    )  # fmt: skip

    def from_loader() -> None:
        for images, labels in theirs:
            images.to(setting.device, non_blocking=True)
            labels.to(setting.device, non_blocking=True)

    ways: dict[str, Way] = {
        "resident": lambda: [len(batch.labels) for batch in resident.epoch(0)],
        "loader": from_loader,
    }
    words = f"{COUNT} pictures from the device", f"DataLoader, {setting.threads} workers, Pillow"
    yield compared("resident/cifar100-224", interleaved(ways, setting), "resident", "loader", words)
