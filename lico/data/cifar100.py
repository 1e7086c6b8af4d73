"""CIFAR-100 as published: 50,000 + 10,000 pictures of 32 × 32 pixels in 100 classes."""

from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor
from torchvision.datasets import CIFAR100
from torchvision.transforms.v2 import functional as F  # noqa: N812 (torchvision's own name)

from lico.data.missing import DataMissingError
from lico.data.sample import Sample, Split


class Cifar100:
    """CIFAR-100 from its published archive, as torchvision unpacks and checks it.

    Class names come from the data set's own list by label id, with spaces for underscores.
    Training pictures keep their 32 pixels (a random crop enlarges them); validation pictures
    are enlarged bilinearly to the network's input.
    """

    name = "cifar100"
    mean = (0.5071, 0.4867, 0.4408)
    std = (0.2675, 0.2565, 0.2761)

    def __init__(self, root: str | Path, split: Split, image_size: int) -> None:
        """Read a split into memory.

        Raises:
            DataMissingError: if it is not below `root`, or its checksums are wrong.
        """
        try:
            source = CIFAR100(str(root), train=split == "train", download=False)
        except RuntimeError as error:
            lacks = 'intact folder "cifar-100-python"'
            raise DataMissingError(self.name, Path(root), lacks) from error
        self.split: Split = split
        self.image_size = image_size
        self.class_names = [name.replace("_", " ") for name in source.classes]
        self._images = torch.from_numpy(source.data).permute(0, 3, 1, 2)
        self._labels = torch.tensor(source.targets)

    @property
    def labels(self) -> Int64[Tensor, " images"]:
        """All class indices."""
        return self._labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Sample:
        image = self._images[index].contiguous()
        if self.split == "val":
            image = F.resize(image, [self.image_size, self.image_size])
        return Sample(image, int(self._labels[index]), None, torch.zeros(0, 4))

    def image_id(self, index: int) -> str:
        """Split and place in the archive."""
        return f"{self.split}/{index:05d}"
