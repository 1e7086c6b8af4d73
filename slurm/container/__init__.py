"""Run Python in the project's image, with whichever container runtime a cluster has."""

from slurm.container.check import check
from slurm.container.command import python_command, srun_arguments
from slurm.container.mounts import ContainerError
from slurm.container.settings import Container, Runtime

__all__ = ["Container", "ContainerError", "Runtime", "check", "python_command", "srun_arguments"]
