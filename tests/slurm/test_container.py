"""Command lines written out by hand, checks on real folders, and stand-ins for the runtimes."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

import slurm.container.command as command_module
from slurm.container import Container, ContainerError, check, python_command, srun_arguments
from slurm.container.command import FORWARDED

WORK = Path("/scratch/study")
PYTHON = ["/opt/lico/bin/python", "-I"]
MOUNTS = ["/pool/data:/data:ro", "~/weights:ro", "$SCRATCH/results"]


def user(uid: int, gid: int) -> SimpleNamespace:
    """In place of `os` where commands are made."""
    return SimpleNamespace(getuid=lambda: uid, getgid=lambda: gid)


@pytest.fixture(autouse=True)
def known_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("SCRATCH", "/scratch/ada")
    monkeypatch.setattr(command_module, "os", user(1815, 12))


def command(runtime: str, image: str, *, gpus: bool = False, **settings: Any) -> list[str]:
    container = Container(runtime=runtime, image=image, mounts=MOUNTS, **settings)  # pyright: ignore[reportArgumentType]
    return python_command(container, gpus=gpus, environment={"HF_HUB_OFFLINE": "1"}, folder=WORK)


def test_bare_is_the_environment_that_submits() -> None:
    assert python_command(Container(), gpus=True, environment={}) == [sys.executable]
    words = python_command(Container(), gpus=True, environment={"A": "b c"})
    assert words == ["env", "A=b c", sys.executable]
    assert srun_arguments(Container()) == []


@pytest.mark.parametrize("runtime", ["apptainer", "singularity"])
def test_apptainer(runtime: str) -> None:
    expected = [
        runtime, "exec", "--no-home",
        "--bind=/scratch/study:/scratch/study",
        "--bind=/pool/data:/data:ro",
        "--bind=/home/ada/weights:/home/ada/weights:ro",
        "--bind=/scratch/ada/results:/scratch/ada/results",
        "--pwd=/scratch/study",
        "--env=CC=/opt/lico/libexec/triton-cc",
        "/scratch/study/lico.sif", "env", "HF_HUB_OFFLINE=1", *PYTHON,
    ]  # fmt: skip
    assert command(runtime, "lico.sif") == expected
    with_gpu = command(runtime, "lico.sif", gpus=True, options=["--writable-tmpfs"])
    assert with_gpu == [*expected[:9], "--nv", "--writable-tmpfs", *expected[9:]]
    assert "docker://ghcr.io/me/lico:1" in command(runtime, "docker://ghcr.io/me/lico:1")


def test_enroot_is_given_to_srun() -> None:
    assert command("enroot", "lico.sqsh") == ["env", "HF_HUB_OFFLINE=1", *PYTHON]
    container = Container(
        runtime="enroot", image="lico.sqsh", mounts=MOUNTS, options=["--mpi=pmi2"]
    )
    own = "/home/ada/weights:/home/ada/weights:ro,/scratch/ada/results:/scratch/ada/results"
    expected = [
        "--container-image=/scratch/study/lico.sqsh",
        f"--container-mounts=/scratch/study:/scratch/study,/pool/data:/data:ro,{own}",
        "--container-workdir=/scratch/study",
        "--no-container-mount-home", "--no-container-entrypoint", "--container-readonly",
    ]  # fmt: skip
    assert srun_arguments(container, gpus=True, folder=WORK) == [*expected, "--mpi=pmi2"]
    without_gpu = [*expected, "--export=ALL,NVIDIA_VISIBLE_DEVICES=void", "--mpi=pmi2"]
    assert srun_arguments(container, gpus=False, folder=WORK) == without_gpu
    reference = Container(runtime="enroot", image="ghcr.io#me/lico:1")
    assert srun_arguments(reference)[0] == "--container-image=ghcr.io#me/lico:1"


ENGINE = [
    "--rm", "--init", "--user=1815:12", "--read-only", "--tmpfs=/tmp:rw,exec,mode=1777",
    "--cap-drop=all", "--security-opt=no-new-privileges", "--network=host", "--ipc=host",
    "--mount=type=bind,source=/scratch/study,target=/scratch/study",
    "--mount=type=bind,source=/pool/data,target=/data,readonly",
    "--mount=type=bind,source=/home/ada/weights,target=/home/ada/weights,readonly",
    "--mount=type=bind,source=/scratch/ada/results,target=/scratch/ada/results",
    "--workdir=/scratch/study",
]  # fmt: skip
INSIDE = ["localhost/lico:1", "env", "HF_HUB_OFFLINE=1", *PYTHON]


def test_podman() -> None:
    expected = ["podman", "run", *ENGINE, *(f"--env={name}" for name in FORWARDED),
                "--entrypoint=", "--cgroups=disabled", "--security-opt=label=disable",
                "--userns=keep-id"]  # fmt: skip
    assert command("podman", "localhost/lico:1") == [*expected, *INSIDE]
    with_gpu = command("podman", "localhost/lico:1", gpus=True, options=["--pids-limit=-1"])
    assert with_gpu == [*expected, "--device=nvidia.com/gpu=all", "--pids-limit=-1", *INSIDE]


def test_podman_as_root_has_no_user_to_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_module, "os", user(0, 0))
    assert "--userns=keep-id" not in command("podman", "localhost/lico:1")


def test_docker() -> None:
    expected = ["docker", "run", *ENGINE, *(f"--env={name}" for name in FORWARDED),
                "--entrypoint=", *INSIDE]  # fmt: skip
    assert command("docker", "localhost/lico:1") == expected


def stand_in(folder: Path, name: str, script: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("variables", "devices"),
    [
        ({}, "all"),
        ({"CUDA_VISIBLE_DEVICES": "3"}, "3"),
        ({"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_GPUS": "2"}, "2"),
        (
            {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_GPUS": "2,5,6", "SLURM_STEP_GPUS": "2,5"},
            "2,5",
        ),
    ],
)
def test_docker_gets_the_gpus_of_the_step_by_their_numbers_on_the_node(
    tmp_path: Path, variables: dict[str, str], devices: str
) -> None:
    stand_in(tmp_path, "docker", 'for each in "$@"; do echo "$each"; done; exit 7')
    words = [*command("docker", "localhost/lico:1", gpus=True), "-m", "two words"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", **variables}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    forwarded = [f"--env={name}" for name in FORWARDED if name != "CUDA_VISIBLE_DEVICES"]
    assert done.stdout.splitlines() == [
        "run", f'--gpus="device={devices}"', *ENGINE, *forwarded, "--entrypoint=", *INSIDE,
        "-m", "two words",
    ]  # fmt: skip


def test_the_working_folder_is_mounted_once() -> None:
    above = Container(runtime="apptainer", image="/i.sif", mounts=["/scratch"])
    words = python_command(above, gpus=False, environment={}, folder=WORK)
    assert [each for each in words if each.startswith("--bind")] == ["--bind=/scratch:/scratch"]
    elsewhere = Container(runtime="apptainer", image="/i.sif", mounts=["/scratch:/data"])
    words = python_command(elsewhere, gpus=False, environment={}, folder=WORK)
    assert "--bind=/scratch/study:/scratch/study" in words


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"runtime": "docker"}, "runtime=docker needs image="),
        ({"runtime": "dockr", "image": "a"}, "'apptainer'"),
        ({"runtime": "docker", "image": "--privileged"}, "neither a file nor a reference"),
        ({"runtime": "docker", "image": "a b"}, "neither a file nor a reference"),
        ({"mounts": ["/a:/b:rx"]}, "HOST:CONTAINER:ro"),
        ({"mounts": ["/a:b"]}, "must begin with /"),
        ({"mounts": [":/b"]}, "HOST:CONTAINER:ro"),
        ({"mounts": ["/a,/b"]}, "comma"),
        ({"mounts": "/a:/b"}, "list"),
        ({"mount": []}, "Extra inputs"),
    ],
)
def test_bad_settings_are_refused_when_they_are_read(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Container.model_validate(settings)


def test_names_that_mean_nothing_here_are_refused() -> None:
    lost = Container(runtime="podman", image="a", mounts=["${NOWHERE}/data"])
    with pytest.raises(ContainerError, match="NOWHERE is not set"):
        python_command(lost, gpus=False, environment={})
    with pytest.raises(ContainerError, match="'A=B' is not a variable's name"):
        python_command(Container(), gpus=False, environment={"A=B": "c"})


# -- checks before submission ------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_a_setting_that_is_right_passes_in_silence(tmp_path: Path, programs: Path) -> None:
    stand_in(programs, "apptainer", "exit 0")
    for name in ("data", "results"):
        (tmp_path / name).mkdir()
    (tmp_path / "lico.sif").touch()
    container = Container(
        runtime="apptainer", image="lico.sif", mounts=["data:/data:ro", "results"]
    )
    assert check(container, folder=tmp_path, visible=[tmp_path / "results" / "demo"]) == []
    assert check(Container()) == []


def test_what_only_the_nodes_know_is_said(tmp_path: Path, programs: Path) -> None:
    container = Container(runtime="apptainer", image="docker://ghcr.io/me/lico:1")
    first, second = check(container, folder=tmp_path)
    assert "apptainer is not on this machine's PATH" in first
    assert "docker://ghcr.io/me/lico:1 was not checked" in second
    stand_in(programs, "podman", "echo no such image >&2; exit 125")
    with_registry = Container(runtime="podman", image="ghcr.io/me/lico:1")
    assert "was not checked" in check(with_registry, folder=tmp_path)[0]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"runtime": "apptainer", "image": "gone.sif"}, "gone.sif does not exist; make it"),
        ({"runtime": "enroot", "image": "gone.sqsh"}, "gone.sqsh does not exist; make it"),
        ({"runtime": "podman", "image": "lico:9"}, r"does not give lico:9 here \(no such image\)"),
        ({"runtime": "podman", "image": "localhost/lico:9"}, "make image"),
        ({"mounts": ["gone:/data:ro"]}, "gone does not exist on this machine; create it"),
        ({"mounts": [sys.executable]}, "cannot write to .*python.*adding :ro"),
        ({"mounts": ["/proc"]}, "cannot write to /proc .*adding :ro"),
    ],
)
def test_what_cannot_work_is_said_with_its_remedy(
    tmp_path: Path, programs: Path, settings: dict[str, Any], says: str
) -> None:
    stand_in(programs, "podman", "echo no such image >&2; exit 125")
    stand_in(programs, "srun", "echo --container-image=")
    (tmp_path / "lico.sif").touch()
    here = {"runtime": "apptainer", "image": "lico.sif"}
    with pytest.raises(ContainerError, match=says):
        check(Container.model_validate(here | settings), folder=tmp_path)


def test_a_path_that_tasks_would_not_see(tmp_path: Path, programs: Path) -> None:
    (tmp_path / "lico.sif").touch()
    container = Container(runtime="apptainer", image="lico.sif", mounts=[f"{tmp_path}:/elsewhere"])
    with pytest.raises(ContainerError, match=r"/pool/data .*add - /pool/data to mounts"):
        check(container, folder=tmp_path, visible=[tmp_path / "results", Path("/pool/data")])


def test_enroot_without_pyxis(tmp_path: Path, programs: Path) -> None:
    (tmp_path / "lico.sqsh").touch()
    container = Container(runtime="enroot", image="lico.sqsh")
    assert "srun is not on" in check(container, folder=tmp_path)[0]
    stand_in(programs, "srun", "echo --partition=NAME")
    with pytest.raises(ContainerError, match="pyxis"):
        check(container, folder=tmp_path)
    stand_in(programs, "srun", "echo --container-image=IMAGE")
    assert check(container, folder=tmp_path) == []
