"""From configuration files and overrides to a checked `Config`; Hydra ends here."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from lico.config import Config
from lico.names import suggestion

NO_CHOICES = {"experiment", "cluster", "tune"}  # folders of configs that a run does not choose from


class ConfigError(Exception):
    """An override, a key or a value that the configuration does not allow."""


def config_folder() -> Path:
    """The folder with the configuration files: of the checkout, or inside the package."""
    package = Path(__file__).parent
    beside = package.parent / "configs"
    return beside if beside.is_dir() else package / "configs"


def compose_config(overrides: Sequence[str] = ()) -> Config:
    """The configuration of one run.

    Args:
        overrides: in Hydra's grammar: `method=ce` chooses a file of a group, `seed=2` or
            `training.epochs=5` sets a value.

    Raises:
        ConfigError: for an unknown group, file or key, or a value of the wrong type or out of
            range; names the nearest valid name.
    """
    for override in overrides:
        _check_name(override)
    ConfigStore.instance().store(name="schema", node=Config().model_dump(mode="json"))
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = compose("config", overrides=list(overrides))
        values: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # pyright: ignore[reportAssignmentType]
        return Config.model_validate(values)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(f"{' '.join(overrides)}: {error}") from error
    except ValidationError as error:
        raise ConfigError(explain(error)) from error


def groups() -> dict[str, list[str]]:
    """The choices of each group."""
    folder = config_folder()
    return {
        each.name: sorted(file.stem for file in each.glob("*.yaml"))
        for each in sorted(folder.iterdir())
        if each.is_dir() and each.name not in NO_CHOICES
    }


def explain(error: ValidationError, known: list[str] | None = None) -> str:
    """A validation error in words, one line a key.

    Args:
        error: what is wrong.
        known: the keys that there are; those of a run unless given.
    """
    lines: list[str] = []
    for each in error.errors(include_url=False):
        key = ".".join(str(part) for part in each["loc"])
        hint = suggestion(key, known or keys()) if each["type"] == "extra_forbidden" else ""
        got = "" if each["type"] in {"extra_forbidden", "missing"} else f" (got {each['input']!r})"
        lines.append(f"{key}: {each['msg']}{got}{hint}")
    return "\n".join(lines)


def keys() -> list[str]:
    """All keys of the configuration, with dots."""
    return list(_flat(Config().model_dump(mode="json"), ""))


def _flat(values: dict[str, Any], prefix: str) -> Iterator[str]:
    for key, value in values.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")  # pyright: ignore[reportUnknownArgumentType]


def _check_name(override: str) -> None:
    """Say what was meant when an override names no group, file or key."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException as error:
        raise ConfigError(
            f"{override!r} is no override; write key=value, for example training.epochs=5"
        ) from error
    name, available = str(parsed.key_or_group), groups()
    if name in available:
        choice = str(parsed.value())
        if choice not in available[name]:
            raise ConfigError(
                f"{override}: {name} can be {', '.join(available[name])}"
                f"{suggestion(choice, available[name])}"
            )
        return
    if name not in (known := keys()) and name.split(".", maxsplit=1)[0] != "axes":
        raise ConfigError(
            f"{override}: there is no key {name!r}{suggestion(name, [*known, *available])}"
        )
