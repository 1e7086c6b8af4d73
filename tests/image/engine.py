"""Docker or Podman as the tests use it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
STRANGER = 4321  # a user id that the image does not know
CONFINED = [
    "--rm", "--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges",
]  # fmt: skip


class Image(NamedTuple):
    """A built image.

    Attributes:
        engine: docker or podman.
        name: its name with the tag.
    """

    engine: str
    name: str

    def inspect(self) -> dict[str, Any]:
        done = subprocess.run(
            [self.engine, "image", "inspect", self.name], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)[0]

    def run(
        self, *arguments: str, options: list[str], entrypoint: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        words = [self.engine, "run", *CONFINED, *options]
        if entrypoint is not None:
            words.append(f"--entrypoint={entrypoint}")
        return subprocess.run(
            [*words, self.name, *arguments],
            capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip


def missing() -> str | None:
    """Why the image tests cannot run here, or None."""
    if "image" not in os.environ.get("LICO_REQUIRE", "").split():
        return "builds a 7 GB image; to test it: make test-image"
    if engine() is None:
        return "needs docker or podman; apt-get install podman"
    return None


def engine() -> str | None:
    chosen = os.environ.get("ENGINE")
    return chosen or next(filter(shutil.which, ("docker", "podman")), None)


def build(folder: Path, **environment: str) -> Image:
    """The image of the sources in a folder, by its own script."""
    done = subprocess.run(
        [folder / "slurm/container/build.sh"],
        env={"BUILDER": engine() or "", **os.environ, **environment},
        capture_output=True, text=True, check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    name = done.stdout.splitlines()[-1].removeprefix("built ")
    return Image(engine() or "", name)
