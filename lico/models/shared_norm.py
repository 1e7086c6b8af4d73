"""Batch normalisation over the images of all processes, so that a shared batch is one batch."""

from typing import Any, cast

import torch
from torch import Tensor, distributed, nn


def normalise_over_all_processes(network: nn.Module, device: torch.device) -> nn.Module:
    """Let every batch normalisation take mean and variance over all processes' images.

    On a GPU with torch's SyncBatchNorm, which a CPU does not have, there with `SharedBatchNorm`.
    Parameters, running statistics and names stay as they are.

    Args:
        network: changed in place where it can be.
        device: where it will be trained.

    Returns:
        The network.
    """
    if device.type != "cpu":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return _replace(network, nn.BatchNorm2d, SharedBatchNorm)


def normalise_alone(network: nn.Module) -> nn.Module:
    """Undo `normalise_over_all_processes`, with what has been learnt since."""
    return _replace(network, (SharedBatchNorm, nn.SyncBatchNorm), nn.BatchNorm2d)


class SharedBatchNorm(nn.BatchNorm2d):
    """y = γ (x − μ) / √(σ² + ε) + β, μ and σ² over batch, rows and columns of all processes."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 (the base class's name)
        """Normalise [batch, channel, row, column]."""
        if not self.training:
            return super().forward(input)
        axes = (0, 2, 3)
        count = input.new_tensor([input.numel() / input.shape[1]])
        totals = _Sum.apply(torch.cat([input.sum(axes), count]))
        mean, whole = totals[:-1] / totals[-1], totals[-1].detach()
        centred = input - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum(axes)) / whole
        self._note(mean.detach(), variance.detach() * whole / (whole - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias[:, None, None], centred, scale[:, None, None])

    @torch.no_grad()
    def _note(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def _replace(
    network: nn.Module,
    old: type[nn.Module] | tuple[type[nn.Module], ...],
    new: type[nn.BatchNorm2d],
) -> nn.Module:
    """Another kind of normalisation with the very parameters and statistics."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, old):
                made = new(cast("int", child.num_features))
                made.__dict__.update(child.__dict__)
                setattr(parent, name, made)
    return network


class _Sum(torch.autograd.Function):
    """The sum over processes; its gradient is that too, as often as one likes."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return _Sum.apply(grads[0])
