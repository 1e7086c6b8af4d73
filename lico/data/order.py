"""The order of an epoch's images, drawn from (seed, epoch): by batch and by process."""

import math
from collections.abc import Iterator

from torch import Tensor, randperm
from torch.utils.data import Sampler

from lico.randomness import torch_generator


class EpochOrder:
    """Batches of image indices, in an order drawn for each epoch.

    The batch size is that of all processes together: each takes a contiguous part of every
    batch, as `torch.tensor_split` cuts it.
    """

    def __init__(
        self, images: int, seed: int, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        """Take the sizes.

        Raises:
            ValueError: if a batch has fewer images than there are processes.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} is none of world_size={world_size} processes")
        smallest = images % batch_size or batch_size
        if images and smallest < world_size:
            raise ValueError(
                f"{images} images in batches of {batch_size} leave a batch of {smallest}, too few "
                f"for {world_size} processes; choose a training.batch_size whose last batch has "
                "one image for each, or fewer processes"
            )
        self.images = images
        self.seed = seed
        self.batch_size = batch_size
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        return math.ceil(self.images / self.batch_size)

    def images_in(self, batch: int) -> int:
        """Images of one whole batch, of all processes together."""
        return min(self.batch_size, self.images - batch * self.batch_size)

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[Tensor]:
        """This process's part of each batch from `first_batch` on.

        Raises:
            ValueError: if the epoch has no such batch.
        """
        if not 0 <= first_batch <= len(self):
            raise ValueError(
                f"first_batch={first_batch}, but an epoch has {len(self)} batches; the checkpoint "
                "belongs to another data set or training.batch_size"
            )
        order = randperm(self.images, generator=torch_generator("order", self.seed, epoch))
        for batch in order.split(self.batch_size)[first_batch:] if self.images else ():
            yield batch.tensor_split(self.world_size)[self.rank]


class KeySampler(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) for a DataLoader; `start` chooses what the next iteration gives."""

    def __init__(self, order: EpochOrder) -> None:
        self.order = order
        self.epoch = self.first_batch = 0

    def __len__(self) -> int:
        return len(self.order)

    def start(self, epoch: int, first_batch: int) -> None:
        """Choose the epoch and its first batch."""
        self.epoch, self.first_batch = epoch, first_batch

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.epoch
        for batch in self.order.batches(epoch, self.first_batch):
            indices: list[int] = batch.tolist()
            yield [(epoch, index) for index in indices]
