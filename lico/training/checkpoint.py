"""What a run needs to go on where it was, written so that a half-written file is never seen."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim import Optimizer

from lico.atomic import write_atomically


@dataclass
class Part:
    """An epoch that is under way.

    Attributes:
        steps: of the epoch that are done.
        images: in them.
        sums: of each scalar over those steps, on the training's device.
        seconds: spent on them.
    """

    steps: int = 0
    images: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    seconds: float = 0.0


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch: finished epochs.
        part: what is done of the next one.
        curve: one list a scalar, one number a finished epoch.
        seconds: spent on training so far, over all interruptions.
        energy_kwh: spent on training so far.
        co2_kg: emitted for it.
        peak_memory_bytes: the highest so far.
    """

    epoch: int = 0
    part: Part = field(default_factory=Part)
    curve: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    seconds: float = 0.0
    energy_kwh: float = 0.0
    co2_kg: float = 0.0
    peak_memory_bytes: float = 0.0


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters that are trained, and buffers; what is frozen comes from its own file."""
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {k: v for k, v in module.state_dict().items() if k not in frozen}


@dataclass(frozen=True)
class Checkpoint:
    """The state of one training on disk.

    Attributes:
        path: of the file.
        fabric: whose precision has a state too (the loss scale of 16-bit training).
        module: what is trained, as it was before Fabric wrapped it.
        optimizer: likewise.
        guard: called before each write; raises if the run belongs to another process now.
    """

    path: Path
    fabric: Fabric
    module: nn.Module
    optimizer: Optimizer
    guard: Callable[[], None]

    def save(self, done: Progress) -> None:
        """Replace the file by the present state, atomically; the first process writes."""
        if not self.fabric.is_global_zero:
            return
        self.guard()
        state = {
            "module": trained_state(self.module),
            "optimizer": self.optimizer.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "progress": asdict(done),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = BytesIO()
        torch.save(state, content)
        write_atomically(self.path, content.getvalue())

    def load(self) -> Progress | None:
        """Bring everything to the file's state.

        Returns:
            How far it had come, or None if there is no file or it cannot be read; then nothing
            was changed and the run starts again.
        """
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            values = state["progress"]
            part = Part(**values.pop("part"))
            progress = Progress(part=part, **values)
            unknown = set(trained_state(self.module)) ^ set(state["module"])
            optimizer, precision = state["optimizer"], state["precision"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, UnpicklingError):
            return None
        if unknown:
            return None
        self.module.load_state_dict(state["module"], strict=False)
        self.optimizer.load_state_dict(optimizer)
        self.fabric.strategy.precision.load_state_dict(precision)
        part.sums = {name: self.fabric.to_device(value) for name, value in part.sums.items()}
        return progress
