"""A batch that several processes share: losses and gradients as if one process had it whole.

Each process has a part of the batch, and `DistributedDataParallel` takes the mean over processes
of their gradients. So a loss that is a mean over images is multiplied, in each process, by the
share of its part (1 if all parts are equal), and one about pairs of images is taken over gathered
rows. In a single process nothing here costs anything.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, distributed


@dataclass(frozen=True)
class Parts:
    """How the batch is shared out.

    Attributes:
        sizes: images of each process's part, in the order of the ranks.
        rank: of this process.
    """

    sizes: tuple[int, ...]
    rank: int = 0

    @property
    def share(self) -> float:
        """What a mean over this part counts for, 1 if all parts are equal; the mean of all is 1."""
        return len(self.sizes) * self.sizes[self.rank] / sum(self.sizes)

    @property
    def own(self) -> slice:
        """Where this part lies in the whole batch."""
        start = sum(self.sizes[: self.rank])
        return slice(start, start + self.sizes[self.rank])

    @property
    def alone(self) -> bool:
        """Whether one process has the whole batch."""
        return len(self.sizes) == 1


def parts_of(part: Shaped[Tensor, "part *_"], whole: int | None = None) -> Parts:
    """How the batch is shared out that `part` is this process's part of.

    Args:
        part: anything with a row an image.
        whole: images of all parts, shared out as `torch.tensor_split` does it; without it the
            processes tell each other, for which a GPU must wait.

    Raises:
        ValueError: if the part is not as large as `whole` makes it.
    """
    size = len(part)
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    if processes == 1:
        return Parts((size,))
    rank = distributed.get_rank()
    if whole is None:
        own = torch.tensor([size], device=part.device)
        return Parts(tuple(int(each) for each in _gathered([own] * processes, own)), rank)
    sizes = tuple(whole // processes + (each < whole % processes) for each in range(processes))
    if sizes[rank] != size:
        raise ValueError(
            f"process {rank} of {processes} has {size} of {whole} images; "
            f"it must have {sizes[rank]}"
        )
    return Parts(sizes, rank)


def gather(part: Shaped[Tensor, "part *row"], parts: Parts) -> Shaped[Tensor, "whole *row"]:
    """The rows of all parts, in order. The gradient of a row is the sum over all processes'."""
    return part if parts.alone else _Gather.apply(part, parts, False)  # pyright: ignore[reportReturnType]


def gather_for_all(part: Float[Tensor, "part *row"], parts: Parts) -> Float[Tensor, "whole *row"]:
    """Like `gather`, for a loss that every process computes alike from all the rows.

    Then all processes have the same gradient, and the sum over them needs no exchange.
    """
    return part if parts.alone else _Gather.apply(part, parts, True)  # pyright: ignore[reportReturnType]


def of_all(vector: Float[Tensor, " length"], parts: Parts) -> Float[Tensor, "processes length"]:
    """A short vector of each process."""
    if parts.alone:
        return vector[None]
    return torch.stack(_gathered([vector] * len(parts.sizes), vector))


class _Gather(torch.autograd.Function):
    """Rows of all parts; parts are filled up to the largest on the way."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, parts: Parts, alike: bool) -> Tensor:
        ctx.parts, ctx.alike = parts, alike
        missing = max(parts.sizes) - len(part)
        filled = torch.cat([part, part.new_zeros(missing, *part.shape[1:])]) if missing else part
        every = _gathered([filled] * len(parts.sizes), filled.contiguous())
        return torch.cat([rows[:size] for rows, size in zip(every, parts.sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        parts: Parts = ctx.parts
        if ctx.alike:
            return grads[0][parts.own] * len(parts.sizes), None, None
        total = grads[0].contiguous().clone()
        distributed.all_reduce(total)
        return total[parts.own], None, None


def _gathered(like: list[Tensor], own: Tensor) -> list[Tensor]:
    every = [torch.empty_like(each, memory_format=torch.contiguous_format) for each in like]
    distributed.all_gather(every, own)
    return every
