"""What can be known about a container setting before anything is submitted."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from slurm.container.mounts import ContainerError, check_mount, reaches
from slurm.container.settings import Container, all_mounts, image_file

_ASK_SECONDS = 30


def check(
    container: Container, *, folder: Path | None = None, visible: Sequence[Path] = ()
) -> list[str]:
    """Look at the image, the runtime and the mounts from here, where the study is submitted.

    Args:
        container: the profile's setting.
        folder: working folder of the tasks; the present one if not given.
        visible: paths on the host that the tasks use under the same name, such as the results
            folder and `data.root`.

    Returns:
        One sentence for each thing that only the compute nodes can tell.

    Raises:
        ContainerError: the first thing that cannot work, with its remedy.
    """
    if container.runtime == "bare":
        return []
    folder = (folder or Path.cwd()).absolute()
    mounts = all_mounts(container, folder)
    for mount in mounts:
        check_mount(mount)
    for path in (each.absolute() for each in visible):
        if not any(reaches(mount, path) for mount in mounts):
            raise ContainerError(
                f"{path} is used by the tasks but not mounted in the container; add - {path} to "
                "mounts in the cluster profile"
            )
    runtime_missing = _runtime_missing(container)
    return [*runtime_missing, *_check_image(container, folder, askable=not runtime_missing)]


def _runtime_missing(container: Container) -> list[str]:
    """A remark if the runtime is not on this machine; it may be on the nodes all the same.

    Raises:
        ContainerError: if srun is here but knows no containers.
    """
    if container.runtime != "enroot":
        if shutil.which(container.runtime):
            return []
        remark = (
            f"{container.runtime} is not on this machine's PATH, so it was not checked; the "
            "compute nodes must have it (if it is a module there, name it in the cluster profile)"
        )
        return [remark]
    if shutil.which("srun") is None:
        return ["srun is not on this machine's PATH, so pyxis was not checked"]
    if "--container-image" not in _ask(["srun", "--help"]).stdout:
        raise ContainerError(
            "runtime=enroot needs the pyxis plug-in of Slurm, and srun here has no option "
            "--container-image; ask the administrators for pyxis, or set runtime=apptainer"
        )
    return []


def _check_image(container: Container, folder: Path, *, askable: bool) -> list[str]:
    """See whether the image exists, or say why that cannot be seen here.

    Raises:
        ContainerError: if it does not.
    """
    image, runtime = container.image, container.runtime
    file = image_file(container, folder)
    if file is not None:
        if file.exists():
            return []
        raise ContainerError(
            f"image: {file} does not exist; make it from the image that make image builds "
            "(docs/cluster.md), or correct image in the cluster profile"
        )
    if askable and runtime in ("docker", "podman"):
        done = _ask([runtime, "image", "inspect", "--format={{.Id}}", image])
        if done.returncode == 0:
            return []
        if not _names_registry(image):
            raise ContainerError(
                f"image: {runtime} does not give {image} here ({_last_line(done.stderr)}), and "
                "without a registry in its name it is found nowhere else; build it with make "
                f"image, bring it with {runtime} load, or push it and name it REGISTRY/{image}"
            )
    remark = (
        f"the image {image} was not checked: every node fetches it when a task first needs it; "
        "nodes without network need a file instead"
    )
    return [remark]


def _names_registry(image: str) -> bool:
    """Whether the first part is a host, as Docker reads references; `localhost/` is not one."""
    first, slash, _ = image.partition("/")
    return bool(slash) and ("." in first or ":" in first)


def _ask(command: list[str]) -> subprocess.CompletedProcess[str]:
    """The program's answer; one that hangs or cannot start has failed."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_ASK_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
