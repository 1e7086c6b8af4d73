"""A run with two processes against the same run with one."""

from pathlib import Path

import numpy as np
import pytest

from lico.compose import compose_config
from lico.config import Config
from lico.results.reader import read_run
from lico.run import run
from tests.end_to_end.small import TINY


def config_in(folder: Path, *overrides: str) -> Config:
    return compose_config([*TINY, f"run.results={folder}", "model=small_resnet", *overrides])


@pytest.mark.parametrize(
    "overrides", [["method=ce"], ["method=lico", "reading=converged", "training.batch_size=7"]]
)
def test_two_processes_train_as_one(tmp_path: Path, overrides: list[str]) -> None:
    """Losses and normalisation are over the whole batch; batches of 7 are split 4 + 3."""
    alone = read_run(run(config_in(tmp_path / "one", *overrides)))
    config = config_in(tmp_path / "two", *overrides, "run.devices=2")
    assert config.run_id() == alone.config.run_id()
    shared = read_run(run(config))
    for name in alone.training.keys() - {"seconds", "images_per_second"}:
        np.testing.assert_allclose(
            shared.training[name], alone.training[name], rtol=2e-3, atol=1e-5, err_msg=name
        )
    np.testing.assert_allclose(
        shared.evaluation.logits, alone.evaluation.logits, rtol=0.01, atol=0.01
    )


def test_several_nodes_need_a_launcher(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run\.nodes=2 needs a launcher on each node"):
        run(config_in(tmp_path, "method=ce", "run.nodes=2"))
