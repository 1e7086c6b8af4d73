"""Experiment files, each composed, and their expansion into runs."""

from pathlib import Path

import pytest

from lico.compose import ConfigError, config_folder
from lico.study import expand, experiment_names, load_experiment

EXPECTED = {
    "adversarial": 3,
    "cifar100": 9,
    "demo": 30,
    "hyperparameters": 48,
    "lico_seeds": 12,
    "loss_ablation": 18,
    "prompt_variants": 9,
    "timing": 18,
}


def test_every_experiment_is_known_here() -> None:
    assert experiment_names() == sorted(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_experiment_expands_to_distinct_runs(name: str) -> None:
    experiment = load_experiment(name)
    configs = expand(name, experiment, [])
    assert len(configs) == EXPECTED[name]
    assert len({config.run_id() for config in configs}) == len(configs)
    for config in configs:
        assert config.experiment == name
        assert config.axes["seed"] == str(config.seed)
        assert config.run_id().startswith(config.axes["system"])


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_experiment_opens_with_claim_command_published_value_and_time(name: str) -> None:
    text = (config_folder() / "experiment" / f"{name}.yaml").read_text()
    head = text.split("title:")[0]
    for word in ("# Command:", "# Published:", "# Time:"):
        assert word in head


def test_real_experiments_have_the_papers_settings() -> None:
    for name in ("lico_seeds", "cifar100", "prompt_variants"):
        for config in expand(name, load_experiment(name), []):
            training = config.training
            assert (training.learning_rate, training.momentum) == (0.03, 0.9)
            assert (training.weight_decay, training.epochs) == (1e-4, 100)
            assert training.batch_size == (64 if name == "cifar100" else 128)
            assert (config.method.alpha, config.method.hidden_width) in {(10, 512), (0, 512)}
            assert config.text.model == "ViT-B-32-quickgelu"


def test_overrides_apply_to_every_run_and_win() -> None:
    configs = expand("demo", load_experiment("demo"), ["training.epochs=2"])
    assert {config.training.epochs for config in configs} == {2}
    one_seed = expand("demo", load_experiment("demo"), ["seed=7"])
    assert {config.seed for config in one_seed} == {7}
    assert len(one_seed) == 10


def test_unknown_experiment_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"lico_seed.*did you mean 'lico_seeds'"):
        load_experiment("lico_seed")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("title: x", "claim"),
        ("title: [", "cannot be read"),
        ("title: x\nclaim: y\naxes: {}\ntables: [table1]", "axes"),
        ("title: x\nclaim: y\naxes: {seed: [1]}\ntables: [table1]\nbse: []", "bse"),
    ],
)
def test_a_broken_experiment_file_is_explained(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=says):
        load_experiment(str(path))


def test_values_of_a_key_are_an_axis(tmp_path: Path) -> None:
    path = tmp_path / "epsilon.yaml"
    path.write_text(
        "title: x\nclaim: y\ntables: [table2]\nseeds: [5]\n"
        "axes: {reading.transport.epsilon: [0.1, 0.01]}"
    )
    configs = expand(str(path), load_experiment(str(path)), [])
    assert [c.reading.transport.epsilon for c in configs] == [0.1, 0.01]
    assert configs[0].experiment == "epsilon"
