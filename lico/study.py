"""An experiment file and the runs that it stands for."""

import itertools
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from lico.compose import ConfigError, compose_config, config_folder, explain
from lico.config import Config
from lico.names import suggestion
from lico.search import Search

Levels = dict[str, list[str]] | list[str | int | float | bool]


class Experiment(BaseModel):
    """What an experiment file says.

    Attributes:
        title: heading of the report.
        claim: what the experiment is to show.
        base: overrides for every run.
        axes: by name: overrides by level name, or the values of the key with the axis's name.
        search: points of a random search; an axis of its own, "point".
        seeds: repetitions.
        tables: what the report shows.
        jobs: runs at a time by the local launcher, unless it is told otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: str
    claim: str
    base: list[str] = []
    axes: dict[str, Levels] = {}
    search: Search | None = None
    seeds: list[int] = Field(default=[1, 2, 3], min_length=1)
    tables: list[str] = Field(min_length=1)
    jobs: PositiveInt | None = None

    @model_validator(mode="after")
    def _has_runs(self) -> "Experiment":
        if not self.axes and self.search is None:
            raise ValueError("give axes with at least one axis, or search")
        return self


def experiment_names() -> list[str]:
    """All experiments."""
    return sorted(file.stem for file in (config_folder() / "experiment").glob("*.yaml"))


def load_experiment(name: str) -> Experiment:
    """Read an experiment file.

    Args:
        name: of a file in `configs/experiment`, or a path to a YAML file.

    Raises:
        ConfigError: if there is no such experiment, or the file says what it may not.
    """
    path = Path(name) if name.endswith(".yaml") else config_folder() / "experiment" / f"{name}.yaml"
    try:
        content: Any = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        names = experiment_names()
        raise ConfigError(
            f"there is no experiment {name!r}{suggestion(name, names)}; "
            f"there are {', '.join(names)}"
        ) from error
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from error


def with_search(experiment: Experiment, overrides: list[str]) -> tuple[Experiment, list[str]]:
    """The experiment with its search changed as overrides `search.KEY=VALUE` say, and the others.

    Raises:
        ConfigError: if there is no search in it, or no such key in a search.
    """
    mine = [each for each in overrides if each.startswith("search.")]
    if not mine:
        return experiment, overrides
    if experiment.search is None:
        raise ConfigError(f"{mine[0]}: this experiment has axes alone and searches nothing")
    values = experiment.search.model_dump(exclude_none=True)
    for each in mine:
        key, _, value = each.removeprefix("search.").partition("=")
        if key not in Search.model_fields:
            raise ConfigError(
                f"{each}: there is no key search.{key}{suggestion(key, Search.model_fields)}"
            )
        values[key] = yaml.safe_load(value)
    try:
        search = Search.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{' '.join(mine)}: {explain(error)}") from error
    return (
        experiment.model_copy(update={"search": search}),
        [each for each in overrides if each not in mine],
    )


def expand(name: str, experiment: Experiment, overrides: list[str]) -> list[Config]:
    """One configuration for each combination of the axes' levels and each seed.

    Seeds vary slowest, so that an unfinished study is whole for its first seeds.

    Args:
        name: of the experiment; its results' folder.
        experiment: what to expand.
        overrides: for every run, after those of the file.

    Raises:
        ConfigError: as `compose_config`, before any run starts.
    """
    experiment, overrides = with_search(experiment, overrides)
    axes = {axis: _levels(axis, levels) for axis, levels in experiment.axes.items()}
    if experiment.search:
        axes["point"] = experiment.search.levels()
    seeds = {str(seed): [f"seed={seed}"] for seed in experiment.seeds}
    configs: list[Config] = []
    for seed, *point in itertools.product(seeds, *axes.values()):
        place = dict(zip(axes, point, strict=True))
        chosen = [each for axis, level in place.items() for each in axes[axis][level]]
        config = compose_config([*experiment.base, *chosen, *seeds[seed], *overrides])
        placed = {"experiment": Path(name).stem, "axes": {**place, "seed": str(config.seed)}}
        configs.append(Config.model_validate(config.model_dump() | placed))
    return _distinct(configs)


def _distinct(configs: list[Config]) -> list[Config]:
    """Without repetitions, which an override of an axis makes."""
    return list({config.run_id(): config for config in configs}.values())


def _levels(axis: str, levels: Levels) -> dict[str, list[str]]:
    if isinstance(levels, dict):
        return levels
    return {str(level): [f"{axis}={level}"] for level in levels}
