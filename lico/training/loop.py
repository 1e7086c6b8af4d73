"""The training loop: one method, one optimiser, one pass over the data an epoch."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from statistics import fmean
from typing import Protocol

import torch
from lightning_fabric import Fabric
from torch.optim import Optimizer
from torch.utils.tensorboard.writer import SummaryWriter

from lico.config import Training
from lico.data.loading import Batch
from lico.errors import Interrupted
from lico.methods.step import StepLoss, TrainingMethod
from lico.training.checkpoint import Checkpoint, Part, Progress
from lico.training.meters import EnergyMeter, peak_memory_bytes, reset_peak_memory
from lico.training.processes import gathered
from lico.training.schedule import cosine_7_16

LOOK_EVERY = 20  # steps between looks at the loss, and of several processes at one another


class Loader(Protocol):
    """Batches by epoch (`lico.data.loading.BatchLoader`)."""

    def __len__(self) -> int: ...

    def epoch(self, number: int, first_batch: int = 0) -> Iterator[Batch]: ...


class NonFiniteLossError(Exception):
    """Training has diverged; the message says where and which part."""


@dataclass(frozen=True)
class Place:
    """Where a run keeps what it needs to go on, and its TensorBoard scalars.

    Attributes:
        checkpoint: file.
        tensorboard: folder.
        guard: called before the checkpoint is written; raises if another process has the run.
    """

    checkpoint: Path
    tensorboard: Path
    guard: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Hooks:
    """What the loop tells, and asks, while it works.

    Attributes:
        on_step: told (steps done, steps in all).
        on_epoch: told (epoch from 0, its scalars) after each one.
        should_stop: asked after each step; True ends training with a checkpoint.
    """

    on_step: Callable[[int, int], None] = lambda _done, _whole: None
    on_epoch: Callable[[int, dict[str, float]], None] = lambda _epoch, _scalars: None
    should_stop: Callable[[], bool] = lambda: False


def train(
    fabric: Fabric,
    method: TrainingMethod,
    loader: Loader,
    settings: Training,
    place: Place,
    *,
    country: str,
    checkpoint_minutes: float = 5.0,
    hooks: Hooks | None = None,
) -> Progress:
    """Train until the last epoch, from the checkpoint if there is one.

    Args:
        fabric: device, precision and strategy.
        method: gives the loss of a batch (`lico.methods.step.TrainingMethod`).
        loader: the batches.
        settings: optimisation.
        place: of checkpoint and scalars.
        country: whose electricity is counted, an ISO 3166 code of three letters.
        checkpoint_minutes: an epoch that takes longer is saved on the way.
        hooks: what to tell and ask on the way.

    Returns:
        The curve and what it took.

    Raises:
        Interrupted: if the hooks ask for a stop; the checkpoint is of the last step.
        NonFiniteLossError: if the loss is no number any more.

    Source: the reproduction study, section 3.3 (SGD, cosine to 7π/16 per step).
    """
    optimizer = torch.optim.SGD(
        [p for p in method.parameters() if p.requires_grad],
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    module, wrapped = fabric.setup(method, optimizer)
    # read when the parameters are where they stay: the optimiser's state follows them there
    checkpoint = Checkpoint(place.checkpoint, fabric, method, optimizer, place.guard)
    done = checkpoint.load() or Progress()
    reset_peak_memory(fabric.device)
    hooks = hooks or Hooks()
    hooks.on_step(done.epoch * len(loader) + done.part.steps, settings.epochs * len(loader))
    with EnergyMeter(country) as meter, _scalars_to(fabric, place, done.epoch) as writer:
        training = _Training(
            fabric, module, wrapped, loader, settings, checkpoint, hooks, meter, checkpoint_minutes
        )
        while done.epoch < settings.epochs:
            scalars = training.epoch(done)
            if writer is not None:
                for name, value in scalars.items():
                    writer.add_scalar(name, value, done.epoch - 1)
            hooks.on_epoch(done.epoch - 1, scalars)
    return done


def _scalars_to(
    fabric: Fabric, place: Place, epoch: int
) -> SummaryWriter | AbstractContextManager[None]:
    if fabric.is_global_zero:
        return SummaryWriter(str(place.tensorboard), purge_step=epoch)
    return nullcontext()


class _Wish(IntEnum):
    """What a process wants after a step; the strongest wish of all processes counts."""

    GO_ON = 0
    SAVE = 1
    STOP = 2


class _Training:
    """A training under way: what never changes in it, and the clock of its checkpoints."""

    def __init__(
        self,
        fabric: Fabric,
        module: TrainingMethod,
        optimizer: Optimizer,
        loader: Loader,
        settings: Training,
        checkpoint: Checkpoint,
        hooks: Hooks,
        meter: EnergyMeter,
        checkpoint_minutes: float,
    ) -> None:
        self.fabric = fabric
        self.module = module
        self.optimizer = optimizer
        self.loader = loader
        self.settings = settings
        self.checkpoint = checkpoint
        self.hooks = hooks
        self.meter = meter
        self.checkpoint_seconds = checkpoint_minutes * 60
        self.total_steps = settings.epochs * len(loader)
        self.stretch_began = self.saved_at = time.perf_counter()

    def epoch(self, done: Progress) -> dict[str, float]:
        """What is left of one pass over the data; its scalars, learning rate and speed."""
        self.module.train()
        self._begin_stretch()
        for batch in self.loader.epoch(done.epoch, done.part.steps):
            step = done.epoch * len(self.loader) + done.part.steps
            self._step(batch, step, done.part)
            last = done.part.steps == len(self.loader)
            if last or step % LOOK_EVERY == 0:
                _check_finite(done.part, step)
            self.hooks.on_step(step + 1, self.total_steps)
            if not last and (wish := self._wish(step)):
                self._save(done, stop=wish == _Wish.STOP)
        return self._end_epoch(done)

    def _step(self, batch: Batch, step: int, part: Part) -> None:
        rate = cosine_7_16(step, self.total_steps, self.settings.learning_rate)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        result: StepLoss = self.module(batch, step)
        self.fabric.backward(result.loss)
        if self.settings.clip_norm is not None:
            self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=self.settings.clip_norm
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.module.after_step()
        correct = result.share * (result.logits.argmax(1) == batch.labels).float().mean()
        scalars = result.scalars | {"loss": result.loss.detach(), "train_top1": correct}
        for name, value in scalars.items():
            part.sums[name] = part.sums[name] + value if name in part.sums else value.double()
        part.steps += 1
        part.images += len(batch.labels)

    def _wish(self, step: int) -> _Wish:
        """Whether to save or to stop, the same in every process."""
        late = time.perf_counter() - self.saved_at > self.checkpoint_seconds
        own = _Wish.STOP if self.hooks.should_stop() else _Wish.SAVE if late else _Wish.GO_ON
        if self.fabric.world_size > 1 and step % LOOK_EVERY:
            return _Wish.GO_ON
        return _Wish(int(max(gathered(self.fabric, own))))

    def _save(self, done: Progress, *, stop: bool) -> None:
        self._end_stretch(done)
        self.checkpoint.save(done)
        self.saved_at = time.perf_counter()
        if stop:
            raise Interrupted(
                f"stopped in epoch {done.epoch + 1} after {done.part.steps} of "
                f"{len(self.loader)} steps; goes on from there"
            )
        self._begin_stretch()

    def _end_epoch(self, done: Progress) -> dict[str, float]:
        self._end_stretch(done)
        part, done.part = done.part, Part()
        scalars = {
            name: fmean(gathered(self.fabric, float(total))) / part.steps
            for name, total in part.sums.items()
        }
        rate = cosine_7_16(
            done.epoch * len(self.loader), self.total_steps, self.settings.learning_rate
        )
        scalars |= {
            "learning_rate": rate,
            "seconds": part.seconds,
            "images_per_second": sum(gathered(self.fabric, part.images)) / part.seconds,
        }
        for name, value in scalars.items():
            done.curve.setdefault(name, []).append(value)
        done.epoch += 1
        last = done.epoch == self.settings.epochs
        stop = self._wish(0) == _Wish.STOP
        if last or stop or done.epoch % self.settings.checkpoint_every == 0:
            self.checkpoint.save(done)
            self.saved_at = time.perf_counter()
        if stop and not last:
            raise Interrupted(f"stopped after epoch {done.epoch}; goes on from there")
        return scalars

    def _begin_stretch(self) -> None:
        self.meter.start()
        self.stretch_began = time.perf_counter()

    def _end_stretch(self, done: Progress) -> None:
        """Add what it took to what has been done, over all processes."""
        seconds = time.perf_counter() - self.stretch_began
        energy = self.meter.stop()
        measures = self.fabric.local_rank == 0  # a node's meters see all of its devices
        done.energy_kwh += sum(gathered(self.fabric, energy.kwh if measures else 0.0))
        done.co2_kg += sum(gathered(self.fabric, energy.co2_kg if measures else 0.0))
        done.seconds += seconds
        done.part.seconds += seconds
        peaks = gathered(self.fabric, peak_memory_bytes(self.fabric.device))
        done.peak_memory_bytes = max(done.peak_memory_bytes, *peaks)


def _check_finite(part: Part, step: int) -> None:
    broken = [name for name, total in part.sums.items() if not torch.isfinite(total)]
    if broken:
        raise NonFiniteLossError(
            f"{', '.join(broken)} not finite by step {step}; lower training.learning_rate, "
            "set training.clip_norm=0.5, or use training.precision=32"
        )
