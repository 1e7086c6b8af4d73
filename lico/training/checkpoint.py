"""What a run needs to go on where it was, written so that a half-written file is never seen."""

from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lico.atomic import write_atomically


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        epoch: finished epochs.
        curve: one list a scalar, one number an epoch.
        seconds: spent on training so far, over all interruptions.
        energy_kwh: spent on training so far.
        co2_kg: emitted for it.
        peak_memory_bytes: the highest so far.
    """

    epoch: int = 0
    curve: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    seconds: float = 0.0
    energy_kwh: float = 0.0
    co2_kg: float = 0.0
    peak_memory_bytes: float = 0.0


def trained_state(module: nn.Module) -> dict[str, Tensor]:
    """Parameters that are trained, and buffers; what is frozen comes from its own file."""
    frozen = {name for name, p in module.named_parameters() if not p.requires_grad}
    return {k: v for k, v in module.state_dict().items() if k not in frozen}


def save_checkpoint(path: Path, module: nn.Module, optimizer: Optimizer, done: Progress) -> None:
    """Replace the checkpoint by the present state, atomically."""
    state = {
        "module": trained_state(module),
        "optimizer": optimizer.state_dict(),
        "progress": asdict(done),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    torch.save(state, content)
    write_atomically(path, content.getvalue())


def load_checkpoint(path: Path, module: nn.Module, optimizer: Optimizer) -> Progress | None:
    """Bring module and optimizer to the checkpoint's state.

    Returns:
        How far it had come, or None if there is no checkpoint or it cannot be read; then
        nothing was changed and the run starts again.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        progress = Progress(**state["progress"])
        missing = set(trained_state(module)) ^ set(state["module"])
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, UnpicklingError):
        return None
    if missing:
        return None
    module.load_state_dict(state["module"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    return progress
