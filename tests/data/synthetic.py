"""A tiny data set in memory, for tests that need any data set."""

import torch
from torch import Tensor

from lico.data.sample import Sample


class TinyData:
    name = "tiny"
    mean = (0.5, 0.4, 0.3)
    std = (0.2, 0.3, 0.4)

    def __init__(self, images: int = 20, size: int = 24, classes: int = 3) -> None:
        random = torch.Generator().manual_seed(0)
        self.class_names = [f"class {index}" for index in range(classes)]
        shape = (images, 3, size, size)
        self.images = torch.randint(0, 256, shape, generator=random).to(torch.uint8)
        self.size = size

    @property
    def labels(self) -> Tensor:
        return torch.arange(len(self)) % len(self.class_names)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        mask = torch.zeros(self.size, self.size, dtype=torch.uint8)
        mask[4:10, 5:12] = 1
        boxes = torch.tensor([[5.0, 4.0, 12.0, 10.0]])
        return Sample(self.images[index], int(self.labels[index]), mask, boxes, "a tiny picture")

    def image_id(self, index: int) -> str:
        return f"tiny/{index}"
