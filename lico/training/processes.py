"""The processes of one run: one, or one a device, started here, by srun or by torchrun."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy

from lico.config import Precision, Runtime

_STARTED_HERE = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def choose_device(settings: Runtime) -> torch.device:
    """The kind of device that the settings name; "auto" takes a GPU if there is one.

    Raises:
        ValueError: if a GPU is asked for and there is none, or more are than there are.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("run.device=cuda, but this machine has no CUDA device; use auto or cpu")
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    if cuda and settings.devices > torch.cuda.device_count():
        raise ValueError(
            f"run.devices={settings.devices}, but this machine has {torch.cuda.device_count()} "
            "CUDA devices (CUDA_VISIBLE_DEVICES may hide some); ask for fewer"
        )
    return torch.device("cuda" if cuda else "cpu")


def make_fabric(settings: Runtime, precision: Precision) -> Fabric:
    """Fabric for the run's device, processes and precision; in a process of its own for each.

    Args:
        settings: device, devices and nodes.
        precision: as `lico.config.Training.precision`.

    Raises:
        ValueError: if the devices are not there.
    """
    device = choose_device(settings)
    if precision == "auto":
        precision = "16-mixed" if device.type == "cuda" else "32"
    many = settings.devices * settings.nodes > 1
    fabric = Fabric(
        accelerator=device.type,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=DDPStrategy(find_unused_parameters=True) if many else "auto",
        precision="32-true" if precision == "32" else precision,
        plugins=[_environment(settings)],
    )
    fabric.launch()
    return fabric


def _environment(settings: Runtime) -> ClusterEnvironment:
    if settings.devices * settings.nodes == 1:  # whatever scheduler is around
        return LightningEnvironment()
    if "RANK" in os.environ:
        return TorchElasticEnvironment()
    return _UnderSrun(settings.nodes)


class _UnderSrun(SLURMEnvironment):
    """Processes that srun started; they meet at an address, whether or not nodes have names."""

    def __init__(self, nodes: int) -> None:
        super().__init__(auto_requeue=False)
        self.nodes = nodes

    @property
    def main_address(self) -> str:
        """Of the first node: srun was called there, by the batch script."""
        if self.nodes == 1:
            return "127.0.0.1"
        if "MASTER_ADDR" in os.environ:
            return super().main_address
        return os.environ.get("SLURM_LAUNCH_NODE_IPADDR") or super().main_address


def gathered(fabric: Fabric, value: float) -> list[float]:
    """The value that each process gives, in the order of their ranks."""
    if fabric.world_size == 1:
        return [value]
    own = torch.tensor(value, dtype=torch.float64, device=fabric.device)
    every = [torch.empty_like(own) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(every, own)
    return [float(each) for each in every]


def part_from_others() -> None:
    """End the run's group of processes, when the first of them goes on alone."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


@contextmanager
def other_processes(settings: Runtime, target: Callable[..., Any], *args: Any) -> Generator[None]:
    """While the block runs, the run's other processes run `target(*args)` beside this one.

    Nothing happens if the run has one process, or if srun or torchrun has started them all.

    Args:
        settings: devices and nodes.
        target: importable by name.
        args: picklable.

    Raises:
        ValueError: if several nodes are asked for without a launcher that starts them.
    """
    processes = settings.devices * settings.nodes
    by_srun = os.environ.get("SLURM_STEP_NUM_TASKS") == str(processes)
    if processes == 1 or "RANK" in os.environ or by_srun:
        yield
        return
    if settings.nodes > 1:
        raise ValueError(
            f"run.nodes={settings.nodes} needs a launcher on each node: make submit, srun or "
            "torchrun; on one machine use run.nodes=1 and run.devices"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    others: list[BaseProcess] = []
    try:
        for rank in reversed(range(settings.devices)):
            _join_group(rank, settings.devices, port)
            if rank:
                others.append(context.Process(target=target, args=args, daemon=True))
                others[-1].start()  # inherits the environment as it is now
        yield
        for each in others:
            each.join()
    finally:
        for each in others:
            each.kill()
        for name in _STARTED_HERE:
            os.environ.pop(name, None)


def _join_group(rank: int, size: int, port: int) -> None:
    """Say in the environment which process of the group this one is."""
    values = (str(rank), str(rank), str(size), "127.0.0.1", str(port))
    os.environ.update(zip(_STARTED_HERE, values, strict=True))
