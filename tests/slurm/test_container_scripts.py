"""What the scripts say where there is no program or no image, and what they hand to one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.slurm.test_container import stand_in

SCRIPTS = Path(__file__).parents[2] / "slurm" / "container"
NEEDED = ("sh", "dirname", "sed", "git", "mkdir", "ls", "id")
ECHO = 'for each in "$@"; do echo "[$each]"; done'


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder that is all of PATH, without any container program."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def script(name: str, *arguments: str, programs: Path, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [SCRIPTS / name, *arguments],
        cwd=programs.parent,
        env={"PATH": str(programs), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["build.sh", "run.sh"])
def test_nothing_that_makes_or_runs_images(programs: Path, name: str) -> None:
    status, said = script(name, programs=programs)
    assert status == 1
    assert "install podman" in said
    assert "without an image" in said


def test_a_docker_without_daemon_is_passed_over(programs: Path) -> None:
    stand_in(programs, "docker", "exit 1")
    stand_in(programs, "buildah", ECHO)
    status, said = script("build.sh", programs=programs)
    assert status == 0, said
    assert said.startswith("buildah builds lico:")
    status, said = script("build.sh", programs=programs, BUILDER="docker")
    assert status == 1
    assert "BUILDER=docker is not installed or does not answer" in said


def test_an_unknown_builder(programs: Path) -> None:
    status, said = script("build.sh", programs=programs, BUILDER="kaniko")
    assert status == 1
    assert "BUILDER=kaniko is not one of: docker podman buildah" in said


def test_the_build_is_given_version_commit_and_base(programs: Path) -> None:
    stand_in(programs, "docker", ECHO)
    _, said = script("build.sh", programs=programs, BASE_IMAGE="base:1", GIT_DIR="none")
    for word in ("VERSION=0.1.0", "COMMIT=unknown", "lico:0.1.0-unknown", "BASE_IMAGE=base:1"):
        assert f"[{word}]" in said
    assert "[--volume]" not in said


def test_an_image_that_is_not_there(programs: Path) -> None:
    stand_in(programs, "podman", "exit 1")
    status, said = script("run.sh", "study", "demo", programs=programs)
    assert status == 1
    assert "podman has no image lico:latest; build it with make image" in said


def test_the_demo_writes_to_the_callers_folder_alone(programs: Path) -> None:
    stand_in(programs, "docker", ECHO)
    status, said = script("run.sh", "study", "demo", programs=programs)
    assert status == 0, said
    words = [line.strip("[]") for line in said.splitlines()]
    assert words[-3:] == ["lico:latest", "study", "demo"]
    volumes = [words[i + 1] for i, word in enumerate(words) if word == "--volume"]
    folder = programs.parent
    assert volumes == [f"{folder}/results:/work/results", f"{folder}/data:/work/data"]
    assert {"--read-only", "--cap-drop=all", "--network=none"} <= set(words)
