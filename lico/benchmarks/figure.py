"""One measured ratio, and how it is kept."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from lico.atomic import write_atomically
from lico.provenance import provenance


@dataclass(frozen=True)
class Setting:
    """What a benchmark is asked for.

    Attributes:
        device: where to measure.
        threads: CPU threads.
        rounds: how often each way is measured.
        full: every case, not the main ones alone.
        told: after each measurement: how many are made, of how many that belong together.
    """

    device: torch.device
    threads: int = 2
    rounds: int = 5
    full: bool = False
    told: Callable[[int, int], None] = lambda _done, _whole: None


@dataclass(frozen=True)
class Figure:
    """How one way of doing something compares with another.

    Attributes:
        name: benchmark and case, words between slashes; two figures of one name are one figure
            measured twice.
        ratio: of `value` to `against_value`, as the benchmark defines it (a median of rounds).
        what: what was measured, in words.
        against: what it is compared with, in words.
        value: of `what`, in `unit`.
        against_value: of `against`, in `unit`.
        unit: of both values.
        spread: lowest and highest ratio among the rounds; the ratio twice if there was one.
    """

    name: str
    ratio: float
    what: str
    against: str
    value: float
    against_value: float
    unit: str = "s"
    spread: tuple[float, float] = field(default=(float("nan"), float("nan")))


def save(figures: Iterable[Figure], path: Path, setting: Setting) -> None:
    """Put figures into a JSON file, each with device and versions; those of other names stay.

    Raises:
        ValueError: if the file is there and is no such file.
        ResultsError: if it cannot be written.
    """
    made = _made_with(setting)
    kept = {each["name"]: each for each in load(path)} if path.exists() else {}
    kept |= {figure.name: asdict(figure) | made for figure in figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"figures": [kept[name] for name in sorted(kept)]}
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def load(path: Path) -> list[dict[str, Any]]:
    """The figures of a JSON file.

    Raises:
        ValueError: if it is no file of figures.
    """
    try:
        figures: list[dict[str, Any]] = json.loads(path.read_text())["figures"]
        names = [each["name"] for each in figures]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no file of figures; move it away to start anew") from error
    return [each for each, _ in zip(figures, names, strict=True)]


def _made_with(setting: Setting) -> dict[str, Any]:
    """Device and versions, as every figure carries them: figures of one file may differ."""
    made = provenance(setting.device)
    hardware = made["hardware"]
    device = hardware["cpu"] if setting.device.type == "cpu" else hardware["device"]
    return {
        "device": device,
        "threads": setting.threads,
        "versions": {"python": made["python"], **made["packages"]},
        "commit": made["commit"],
        "modified": made["modified"],
        "time": made["time"],
    }
