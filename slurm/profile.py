"""Cluster profiles: what one task asks of Slurm, where it runs, and how often it is tried."""

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from lico.compose import config_folder, explain
from lico.config import Section
from lico.names import suggestion
from slurm.attempts import Retries
from slurm.container import Container
from slurm.errors import ClusterError

LEAST_MEMORY_GB = 2  # torch alone takes most of it


class Report(Section):
    """The job that aggregates and reports when the runs have ended; it needs no GPU."""

    partition: str | None = Field(default=None, description="none: that of the runs")
    cpus: PositiveInt = 2
    memory_gb: PositiveFloat = 8.0
    time_min: PositiveInt = 60


class Profile(Section):
    """How studies run on one cluster. Sizes are those of one process, which has one GPU."""

    launcher: Literal["slurm", "local"] = Field(
        default="slurm", description="local: on this machine, without Slurm"
    )
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$",
        description="kind and type, such as gpu:a100; the number is run.devices",
    )
    time_min: PositiveInt = 240
    memory_gb: PositiveFloat = 32.0
    cpus: PositiveInt = 8
    parallel: PositiveInt = Field(default=16, description="tasks of a study at a time")
    runs_per_gpu: PositiveInt = Field(default=1, description="small runs that share one task's GPU")
    modules: list[str] = Field(default=[], description="for module load, in this order")
    environment: dict[str, str] = Field(default={}, description="variables of every task")
    sbatch: dict[str, str | int | bool] = Field(
        default={}, description="further options of sbatch by their long names"
    )
    signal_before_end_s: PositiveInt = Field(
        default=120, description="warning before the time limit, for the last checkpoint"
    )
    retries: Retries = Retries()
    follow_ups: NonNegativeInt = Field(
        default=2,
        description="arrays that wait in case a node cannot requeue (it has no scontrol)",
    )
    container: Container = Container()
    report: Report = Report()

    @model_validator(mode="after")
    def _sizes_make_sense(self) -> Self:
        if self.memory_gb < LEAST_MEMORY_GB:
            raise ValueError(
                f"memory_gb={self.memory_gb:g} is too little: a run needs at least "
                f"{LEAST_MEMORY_GB} GB before it has seen one image"
            )
        if self.signal_before_end_s > self.time_min * 60 / 2:
            raise ValueError(
                f"signal_before_end_s={self.signal_before_end_s} must be at most half of "
                f"time_min={self.time_min} (minutes)"
            )
        return self


def profile_names() -> list[str]:
    """All profiles of this package."""
    return sorted(file.stem for file in (config_folder() / "cluster").glob("*.yaml"))


def load_profile(name: str, overrides: list[str]) -> Profile:
    """Read a cluster profile.

    Args:
        name: of a file in `configs/cluster`, or a path to a YAML file.
        overrides: `cluster.key=value`, values in YAML.

    Raises:
        ClusterError: if there is none of that name, or it says what it may not.
    """
    path = Path(name) if name.endswith(".yaml") else config_folder() / "cluster" / f"{name}.yaml"
    try:
        content: Any = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        names = profile_names()
        raise ClusterError(
            f"there is no cluster profile {name!r}{suggestion(name, names)}; there are "
            f"{', '.join(names)}, or give the path of your own, ending in .yaml"
        ) from error
    except (OSError, yaml.YAMLError) as error:
        raise ClusterError(f"{path} cannot be read: {error}") from error
    values: dict[str, Any] = content if isinstance(content, dict) else {}
    for override in overrides:
        _apply(values, override)
    try:
        return Profile.model_validate(values)
    except ValidationError as error:
        raise ClusterError(f"{path}: {explain(error, profile_keys())}") from error


def split_overrides(overrides: list[str]) -> tuple[list[str], list[str]]:
    """Those of the runs, and those of the profile (`cluster.…`)."""
    of_profile = [each for each in overrides if each.startswith("cluster.")]
    return [each for each in overrides if each not in of_profile], of_profile


def profile_keys() -> list[str]:
    """All keys of a profile, with dots."""
    values: dict[str, Any] = Profile().model_dump()
    inner = [f"{k}.{each}" for k, v in values.items() if isinstance(v, dict) for each in v]
    return [*values, *inner]


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.removeprefix("cluster.").partition("=")
    if not equals:
        raise ClusterError(f"{override!r} is no override; write cluster.key=value")
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = yaml.safe_load(text)
