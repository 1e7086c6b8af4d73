"""The training loop: one method, one optimiser, one pass over the data an epoch."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

from lico.config import Training
from lico.data.loading import Batch
from lico.methods.step import StepLoss, TrainingMethod
from lico.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from lico.training.meters import Energy, EnergyMeter, peak_memory_bytes, reset_peak_memory
from lico.training.schedule import cosine_7_16

FINITE_EVERY = 20  # steps between looks at the loss; a look makes a GPU wait

OnProgress = Callable[[int, int], None]


class Loader(Protocol):
    """Batches by epoch (`lico.data.loading.BatchLoader`)."""

    def __len__(self) -> int: ...

    def epoch(self, number: int) -> Iterator[Batch]: ...


class NonFiniteLossError(Exception):
    """Training has diverged; the message says where and which part."""


@dataclass(frozen=True)
class Place:
    """Where a run keeps what it needs to go on, and its TensorBoard scalars."""

    checkpoint: Path
    tensorboard: Path


def train(
    fabric: Fabric,
    method: TrainingMethod,
    loader: Loader,
    settings: Training,
    place: Place,
    *,
    country: str,
    on_progress: OnProgress,
) -> Progress:
    """Train until the last epoch, from the checkpoint if there is one.

    Args:
        fabric: device, precision and strategy.
        method: gives the loss of a batch (`lico.methods.step.TrainingMethod`).
        loader: the batches.
        settings: optimisation.
        place: of checkpoint and scalars.
        country: whose electricity is counted, an ISO 3166 code of three letters.
        on_progress: called with (steps done, steps in all).

    Returns:
        The curve and what it took.

    Raises:
        NonFiniteLossError: if the loss is no number any more.

    Source: the reproduction study, section 3.3 (SGD, cosine to 7π/16 per step).
    """
    optimizer = torch.optim.SGD(
        [p for p in method.parameters() if p.requires_grad],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    done = load_checkpoint(place.checkpoint, method, optimizer) or Progress()
    reset_peak_memory(fabric.device)
    module, wrapped = fabric.setup(method, optimizer)
    on_progress(done.epoch * len(loader), settings.epochs * len(loader))
    scalars_to = SummaryWriter(str(place.tensorboard), purge_step=done.epoch)
    with EnergyMeter(country) as meter, scalars_to as writer:
        for epoch in range(done.epoch, settings.epochs):
            meter.start(f"epoch {epoch}")
            scalars = _epoch(fabric, module, wrapped, loader, settings, epoch, on_progress)
            _record(done, scalars, meter.stop(), peak_memory_bytes(fabric.device))
            for name, value in scalars.items():
                writer.add_scalar(name, value, epoch)
            if (epoch + 1) % settings.checkpoint_every == 0 or epoch + 1 == settings.epochs:
                save_checkpoint(place.checkpoint, method, optimizer, done)
    return done


def _epoch(
    fabric: Fabric,
    module: TrainingMethod,
    optimizer: torch.optim.Optimizer,
    loader: Loader,
    settings: Training,
    epoch: int,
    on_progress: OnProgress,
) -> dict[str, float]:
    """One pass over the data; the means of its scalars, its learning rate and its speed."""
    module.train()
    total_steps = settings.epochs * len(loader)
    sums = _Means()
    started = time.perf_counter()
    for index, batch in enumerate(loader.epoch(epoch)):
        step = epoch * len(loader) + index
        rate = cosine_7_16(step, total_steps, settings.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        result: StepLoss = module(batch, step)
        fabric.backward(result.loss)
        if settings.clip_norm is not None:
            fabric.clip_gradients(module, optimizer, max_norm=settings.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        module.after_step()
        correct = (result.logits.argmax(1) == batch.labels).float().mean()
        sums.add(
            result.scalars | {"loss": result.loss.detach(), "train_top1": correct},
            len(batch.labels),
        )
        if step % FINITE_EVERY == 0 or index + 1 == len(loader):
            sums.check_finite(step)
        on_progress(step + 1, total_steps)
    means = sums.means()
    seconds = time.perf_counter() - started
    return means | {
        "learning_rate": cosine_7_16(epoch * len(loader), total_steps, settings.learning_rate),
        "seconds": seconds,
        "images_per_second": sums.images / seconds,
    }


class _Means:
    """Sums on the device, so that no step waits for its scalars."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.steps = 0
        self.images = 0

    def add(self, scalars: dict[str, Tensor], images: int) -> None:
        for name, value in scalars.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value.double()
        self.steps += 1
        self.images += images

    def check_finite(self, step: int) -> None:
        broken = [name for name, total in self.sums.items() if not torch.isfinite(total)]
        if broken:
            raise NonFiniteLossError(
                f"{', '.join(broken)} not finite by step {step}; lower training.learning_rate, "
                "set training.clip_norm=0.5, or use training.precision=32"
            )

    def means(self) -> dict[str, float]:
        return {name: float(total) / self.steps for name, total in self.sums.items()}


def _record(done: Progress, scalars: dict[str, float], energy: Energy, peak: float) -> None:
    """Add one epoch to what has been done."""
    for name, value in scalars.items():
        done.curve.setdefault(name, []).append(value)
    done.epoch += 1
    done.seconds += scalars["seconds"]
    done.energy_kwh += energy.kwh
    done.co2_kg += energy.co2_kg
    done.peak_memory_bytes = max(done.peak_memory_bytes, peak)
