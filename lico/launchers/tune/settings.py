"""How Ray Tune schedules a study.

`tune=NAME` chooses a file of configs/tune, `tune.KEY=VALUE` sets one value.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from lico.compose import ConfigError, config_folder, explain
from lico.config import Section
from lico.names import suggestion


class TuneSettings(Section):
    """Nothing here is part of a run's identity; a trial's file is the same whatever it says."""

    jobs: PositiveInt | None = Field(
        default=None,
        description="trials at a time; none: as the experiment says, or on GPUs and clusters as "
        "many as fit",
    )
    cpus: PositiveInt | None = Field(
        default=None, description="of a trial; none: run.threads for each device"
    )
    gpus: NonNegativeFloat | None = Field(
        default=None,
        description="of a trial; 0.25 lets four share a GPU; none: run.devices if there are GPUs "
        "that the runs may use",
    )
    retries: int = Field(default=2, ge=0, description="of a trial whose process dies or fails")
    max_hours: PositiveFloat | None = Field(
        default=None, description="the command ends after so long; the next goes on"
    )
    max_kwh: PositiveFloat | None = Field(
        default=None, description="the study's trials use so much energy at most, in all commands"
    )
    validation_images: int = Field(
        default=512, ge=0, description="at most so many for the accuracy after each epoch; 0: none"
    )
    address: str | None = Field(
        default=None, description="HOST:PORT of a running Ray cluster; none: one for this command"
    )
    dashboard: bool = True
    dashboard_host: str = Field(
        default="127.0.0.1", description="where the dashboard listens; 0.0.0.0 is everywhere"
    )
    dashboard_port: int | None = Field(
        default=None, ge=1024, le=65535, description="none: 8265 or the next that is free"
    )


def load_settings(overrides: list[str]) -> tuple[TuneSettings, list[str]]:
    """The settings, and the overrides that are not about them.

    Args:
        overrides: of the command line; `tune=NAME` and `tune.KEY=VALUE` are taken out.

    Raises:
        ConfigError: for an unknown file or key, or a value that is not allowed.
    """
    mine = [each for each in overrides if each.startswith(("tune=", "tune."))]
    values: dict[str, Any] = {}
    for each in mine:
        key, _, value = each.partition("=")
        if key == "tune":
            values |= _file(value)
    for each in mine:
        key, _, value = each.removeprefix("tune.").partition("=")
        if key == "tune":
            continue
        if key not in TuneSettings.model_fields:
            hint = suggestion(key, TuneSettings.model_fields)
            raise ConfigError(f"{each}: there is no key tune.{key}{hint}")
        values[key] = yaml.safe_load(value)
    try:
        settings = TuneSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"tune.{explain(error)}") from error
    return settings, [each for each in overrides if each not in mine]


def _file(name: str) -> dict[str, Any]:
    folder: Path = config_folder() / "tune"
    names = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in names:
        raise ConfigError(f"tune={name}: tune can be {', '.join(names)}{suggestion(name, names)}")
    return yaml.safe_load((folder / f"{name}.yaml").read_text()) or {}
