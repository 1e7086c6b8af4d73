"""A cluster profile's container setting: which image, under what, seeing which folders."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from lico.config import Section
from slurm.container.mounts import Mount, host_path, parse_mount, with_folder

Runtime = Literal["bare", "apptainer", "singularity", "enroot", "docker", "podman"]


class Container(Section):
    """How a cluster runs the image; without one, tasks use the environment that submits them."""

    runtime: Runtime = "bare"
    image: str = Field(
        default="",
        description="apptainer: a .sif file or a URI; enroot: a .sqsh file or REGISTRY#IMAGE:TAG; "
        "docker and podman: a reference",
    )
    mounts: list[str] = Field(
        default=[],
        description="HOST[:CONTAINER][:ro]; the working folder is mounted in any case",
    )
    options: list[str] = Field(
        default=[], description="further arguments of the runtime (enroot: of srun), one an item"
    )

    @field_validator("mounts")
    @classmethod
    def _mounts_are_well_formed(cls, mounts: list[str]) -> list[str]:
        for text in mounts:
            parse_mount(re.sub(r"\$(\w+|\{\w+\})", "variable", text), Path("/"))
        return mounts

    @model_validator(mode="after")
    def _image_is_named(self) -> "Container":
        if self.runtime == "bare":
            return self
        if not self.image:
            raise ValueError(
                f"runtime={self.runtime} needs image=; make one with make image (docs/cluster.md)"
            )
        if self.image.startswith("-") or re.search(r"\s", self.image):
            raise ValueError(f"image={self.image!r} is neither a file nor a reference")
        return self


def all_mounts(container: Container, folder: Path) -> list[Mount]:
    """The profile's mounts and the working folder."""
    return with_folder([parse_mount(text, folder) for text in container.mounts], folder)


def image_file(container: Container, folder: Path) -> Path | None:
    """The image's file on the host, or None if the image is a URI or a reference."""
    match container.runtime:
        case "apptainer" | "singularity":
            is_file = "://" not in container.image
        case "enroot":
            is_file = container.image.endswith(".sqsh") or container.image[0] in "./~$"
        case _:
            is_file = False
    return host_path(container.image, folder) if is_file else None
