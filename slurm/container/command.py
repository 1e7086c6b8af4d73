"""From a profile's container setting to the command that runs Python in the image."""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from slurm.container.mounts import ContainerError, Mount
from slurm.container.settings import Container, all_mounts, image_file

# Isolated from PYTHON* variables, from packages in the home folder and from a checkout in the
# working folder, so that the code that runs is the image's.
IMAGE_PYTHON = ("/opt/lico/bin/python", "-I")

# Over a CC of the host, which Apptainer would hand on: the image has no other compiler.
_IMAGE_CC = "CC=/opt/lico/libexec/triton-cc"

# Apptainer and pyxis hand the whole environment on; into Docker and Podman these names go, each
# with the value that it has where the task starts.
FORWARDED = (
    "HOME", "CUDA_VISIBLE_DEVICES", "SUBMITIT_EXECUTOR", "LICO_JOB_STARTED",
    "SLURM_JOB_ID", "SLURM_JOBID", "SLURM_JOB_NAME", "SLURM_JOB_NODELIST", "SLURM_JOB_NUM_NODES",
    "SLURM_JOB_PARTITION", "SLURM_CLUSTER_NAME", "SLURM_RESTART_COUNT",
    "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT",
    "SLURM_NTASKS", "SLURM_NNODES", "SLURM_NODELIST", "SLURM_NTASKS_PER_NODE",
    "SLURM_CPUS_PER_TASK", "SLURM_GPUS_ON_NODE", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID",
    "SLURM_STEP_ID", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_LAUNCH_NODE_IPADDR",
)  # fmt: skip

# Docker's daemon starts containers outside the job's cgroup, so the job's GPUs are named, by
# their numbers on the node; inside they are counted from zero.
_DOCKER_WITH_GPUS = (
    'exec docker run --gpus="\\"device='
    '${SLURM_STEP_GPUS:-${SLURM_JOB_GPUS:-${CUDA_VISIBLE_DEVICES:-all}}}\\"" "$@"'
)


def python_command(
    container: Container,
    *,
    gpus: bool,
    environment: Mapping[str, str],
    folder: Path | None = None,
) -> list[str]:
    """The words before `-m module`: they run Python where the profile says.

    The process in the image has the caller's user id and working folder, a read-only root, and
    gets signals and gives its exit status as if it ran outside. With enroot the image is chosen
    by `srun_arguments`, and the words are those inside it.

    Args:
        container: the profile's setting.
        gpus: whether the task has GPUs.
        environment: variables to set inside, over what the runtime hands on.
        folder: working folder, mounted under its own name; the present one if not given.

    Raises:
        ContainerError: for a mount or an image file that names an unset variable, or a variable
            name that the environment cannot have.
    """
    folder = (folder or Path.cwd()).absolute()
    inside = [*_setting(environment), *IMAGE_PYTHON]
    match container.runtime:
        case "bare":
            return [*_setting(environment), sys.executable]
        case "enroot":
            return inside
        case "apptainer" | "singularity":
            outside = _apptainer(container, folder, gpus=gpus)
        case "docker":
            outside = _docker(container, folder, gpus=gpus)
        case "podman":
            outside = _podman(container, folder, gpus=gpus)
    return [*outside, *container.options, _image_argument(container, folder), *inside]


def srun_arguments(
    container: Container, *, gpus: bool = True, folder: Path | None = None
) -> list[str]:
    """What srun needs to start the task in the image through pyxis; nothing for other runtimes.

    enroot's hook brings GPUs in for any image that wants them, as ours does, and fails on a node
    without NVIDIA's tools, so a task without GPUs has to refuse them.
    """
    if container.runtime != "enroot":
        return []
    folder = (folder or Path.cwd()).absolute()
    mounts = ",".join(_colons(mount) for mount in all_mounts(container, folder))
    return [
        f"--container-image={_image_argument(container, folder)}",
        f"--container-mounts={mounts}",
        f"--container-workdir={folder}",
        "--no-container-mount-home",
        "--no-container-entrypoint",
        "--container-readonly",
        *([] if gpus else ["--export=ALL,NVIDIA_VISIBLE_DEVICES=void"]),
        *container.options,
    ]


def _apptainer(container: Container, folder: Path, *, gpus: bool) -> list[str]:
    """Read-only and under the caller's user id by itself; signals reach the process directly."""
    return [
        container.runtime,
        "exec",
        "--no-home",
        *(f"--bind={_colons(mount)}" for mount in all_mounts(container, folder)),
        f"--pwd={folder}",
        f"--env={_IMAGE_CC}",
        *(["--nv"] if gpus else []),
    ]


def _docker(container: Container, folder: Path, *, gpus: bool) -> list[str]:
    forwarded = [name for name in FORWARDED if not (gpus and name == "CUDA_VISIBLE_DEVICES")]
    start = ["sh", "-c", _DOCKER_WITH_GPUS, "docker"] if gpus else ["docker", "run"]
    return [*start, *_engine(container, folder, forwarded)]


def _podman(container: Container, folder: Path, *, gpus: bool) -> list[str]:
    """Without a cgroup of its own the container stays in the job's, with its limits and GPUs."""
    return [
        "podman",
        "run",
        *_engine(container, folder, FORWARDED),
        "--cgroups=disabled",
        "--security-opt=label=disable",
        *(["--userns=keep-id"] if os.getuid() else []),
        *(["--device=nvidia.com/gpu=all"] if gpus else []),
    ]


def _engine(container: Container, folder: Path, forwarded: Sequence[str]) -> list[str]:
    """What Docker and Podman have in common.

    The client passes signals on to `--init`, and that to Python, which as process 1 would not
    end on a signal. Loader workers and NCCL need more than 64 MB of shared memory (`--ipc=host`),
    compiled kernels a temporary folder that may hold programs, several nodes the host's network.
    """
    return [
        "--rm",
        "--init",
        f"--user={os.getuid()}:{os.getgid()}",
        "--read-only",
        "--tmpfs=/tmp:rw,exec,mode=1777",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        "--network=host",
        "--ipc=host",
        *(f"--mount={_bind(mount)}" for mount in all_mounts(container, folder)),
        f"--workdir={folder}",
        *(f"--env={name}" for name in forwarded),
        "--entrypoint=",
    ]


def _image_argument(container: Container, folder: Path) -> str:
    """The image as the runtime takes it: files as absolute paths, references as they are."""
    return str(image_file(container, folder) or container.image)


def _bind(mount: Mount) -> str:
    readonly = "" if mount.writable else ",readonly"
    return f"type=bind,source={mount.source},target={mount.target}{readonly}"


def _colons(mount: Mount) -> str:
    return f"{mount.source}:{mount.target}{'' if mount.writable else ':ro'}"


def _setting(environment: Mapping[str, str]) -> list[str]:
    for name in environment:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ContainerError(f"environment: {name!r} is not a variable's name")
    values = [f"{name}={value}" for name, value in environment.items()]
    return ["env", *values] if values else []
