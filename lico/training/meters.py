"""Energy and peak memory of a stretch of work."""

import logging
import os
import resource
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch

_CLEAR_PEAK = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


class Energy(NamedTuple):
    """Electricity of a stretch of work, kWh, and its emissions, kg CO₂-equivalent."""

    kwh: float
    co2_kg: float


class EnergyMeter:
    """Electricity and emissions of this process, stretch by stretch, by codecarbon.

    Where no power meter can be read codecarbon estimates from the processor's rated power and
    load; its offline mode asks no server.
    """

    def __init__(self, country: str) -> None:
        """Find the machine's meters; takes some seconds once in a process.

        Args:
            country: whose electricity it is, an ISO 3166 code of three letters.
        """
        with _as_outside_of_slurm():
            from codecarbon import OfflineEmissionsTracker  # noqa: PLC0415 (slow to import)

        self._stretch = 0
        logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
        self._tracker: Any = OfflineEmissionsTracker(
            country_iso_code=country,
            tracking_mode="process",
            output_methods=[],
            log_level="critical",
            allow_multiple_runs=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tracker.stop()

    def start(self) -> None:
        """Begin a stretch."""
        self._stretch += 1
        self._tracker.start_task(f"stretch {self._stretch}")

    def stop(self) -> Energy:
        """End the stretch."""
        data = self._tracker.stop_task()
        return Energy(float(data.energy_consumed), float(data.emissions))


@contextmanager
def _as_outside_of_slurm() -> Generator[None]:
    """Hide the job from codecarbon where it could not ask about it.

    Inside a Slurm job it calls scontrol, and fails where there is none, as in most containers.
    It decides so once, when it is imported.
    """
    names = () if shutil.which("scontrol") else ("SLURM_JOB_ID", "SLURM_JOBID")
    job = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(job)


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement of peak memory."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            _CLEAR_PEAK.write_text("5")


def peak_memory_bytes(device: torch.device) -> float:
    """Peak since the reset: allocated on the GPU, or resident in this process on a CPU.

    Where the system has no /proc the peak is that of the process's whole life.
    """
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
