"""What a number was made with: versions, commit and machine."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

PACKAGES = (
    "lico-hpc",
    "torch",
    "torchvision",
    "torchcam",
    "open-clip-torch",
    "lightning-fabric",
    "numpy",
    "h5py",
    "hydra-core",
    "codecarbon",
)


def provenance(device: torch.device) -> dict[str, Any]:
    """Everything about software and hardware that a result may depend on, JSON-ready."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        **commit(),
        "hardware": hardware(device),
    }


def commit() -> dict[str, Any]:
    """Git commit of the source and whether it was changed; LICO_COMMIT where there is no git."""
    source = Path(__file__).parent
    head = _git(source, "rev-parse", "HEAD")
    if head is None:
        return {"commit": os.environ.get("LICO_COMMIT", "unknown"), "modified": None}
    changes = _git(source, "status", "--porcelain", "--untracked-files=no")
    return {"commit": head, "modified": bool(changes)}


def hardware(device: torch.device) -> dict[str, Any]:
    """Processor, memory and, on a GPU, its name and memory."""
    found: dict[str, Any] = {
        "host": platform.node(),
        "device": device_name(device),
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["gpu_memory_gb"] = round(properties.total_memory / 1e9, 1)
        found["cuda"] = torch.version.cuda
    return found


def device_name(device: torch.device) -> str:
    """The GPU's name, or "cpu"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603 (our own arguments)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
