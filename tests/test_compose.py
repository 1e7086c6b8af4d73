"""Configuration: what is not allowed stops before any work, with the nearest valid name."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from lico.compose import ConfigError, compose_config, config_folder, groups
from lico.config import Config


def test_defaults_are_those_of_the_schema_but_for_the_chosen_files() -> None:
    config = compose_config()
    assert config.training == Config().training
    assert config.model.name == "small_resnet"
    assert config.data.crop_scale == [0.3, 1.0]


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("trainig.epochs=3", "did you mean 'training.epochs'"),
        ("methd=ce", "did you mean 'method'"),
        ("method=lyco", "did you mean 'lico'"),
        ("training.epochs=abc", "training.epochs"),
        ("training.epochs=0", "greater than 0"),
        ("training.epochs=1.5", "training.epochs"),
        ("training.clip_norm=yes", "training.clip_norm"),
        ("data.crop_scale=[0.5,0.2]", "crop_scale"),
        ("saliency.methods=[gradcm]", "gradcam"),
        ("training.precision=fp8", "16-mixed"),
        ("training.epochs", "key=value"),
        ("+extra=1", "no key 'extra'"),
        ("training={epohs: 3}", "epohs"),
        ("run.country=nl", "country"),
    ],
)
def test_a_wrong_override_is_explained(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says.replace("[", r"\[")):
        compose_config([override])


def test_unknown_key_in_the_schema_itself() -> None:
    with pytest.raises(ValidationError, match="extra"):
        Config.model_validate({"sed": 1})


def test_hash_ignores_where_and_how_fast_but_nothing_else() -> None:
    base = compose_config()
    for same in ("run.results=elsewhere", "run.threads=2", "data.root=there"):
        assert compose_config([same]).hash() == base.hash()
    for other in ("seed=2", "training.epochs=3", "prompt=label_front", "saliency=all"):
        assert compose_config([other]).hash() != base.hash()


def test_settings_that_a_method_does_not_read_are_not_part_of_its_identity() -> None:
    first = compose_config(["method=ce", "reading=repro"])
    assert compose_config(["method=ce", "reading=authors", "text=clip"]).hash() == first.hash()


def test_hash_is_the_same_on_every_machine() -> None:
    assert Config().hash() == "bcfb54a5"


@pytest.mark.parametrize("group", sorted(groups()))
def test_every_file_of_every_group_composes(group: str) -> None:
    for choice in groups()[group]:
        config = compose_config([f"{group}={choice}"])
        file = config_folder() / group / f"{choice}.yaml"
        content = yaml.safe_load(file.read_text())
        assert set(content) <= set(getattr(config, group).model_dump())


def test_results_may_have_spaces_in_their_path() -> None:
    assert compose_config(["run.results='my results'"]).run.results == "my results"
    assert Path(compose_config(["data.root=/a/b"]).data.root) == Path("/a/b")
