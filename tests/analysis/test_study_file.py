"""`study.h5` holds what the run files give, and plain h5py reads it."""

import json
from pathlib import Path
from typing import Any

import h5py  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import pytest

from lico.analysis.aggregate import aggregate
from lico.analysis.errors import AnalysisError
from lico.results.hdf5 import open_sealed
from tests.analysis.synthetic import config_of, record_of, write_synthetic


def _column(group: Any, name: str) -> np.ndarray:
    data = group[name]
    return data.asstr()[()] if data.dtype == object else data[()]


def test_values_and_statistics(tmp_path: Path) -> None:
    configs = write_synthetic(tmp_path, ["baseline", "lico"], seeds=3)
    path = aggregate(tmp_path, ["table2"], expected=configs)
    with open_sealed(path) as file:
        assert file.attrs["format"] == "lico-study"
        assert file.attrs["complete"]
        values, statistics = file["values"], file["statistics"]
        at = (_column(values, "metric") == "sch") & (_column(values, "saliency") == "gradcam")
        chosen = at & (_column(values, "system") == "lico")
        seeds = _column(values, "seed")[chosen]
        literal = [
            record_of(config_of("lico", int(seed))).evaluation.saliency["gradcam"].scores["sch"]
            for seed in seeds
        ]
        means = [scores.mean() for scores in literal]
        np.testing.assert_allclose(_column(values, "value")[chosen], means, rtol=1e-14)
        row = (
            (_column(statistics, "metric") == "sch")
            & (_column(statistics, "saliency") == "gradcam")
            & (_column(statistics, "system") == "lico")
        )
        assert _column(statistics, "mean")[row].item() == pytest.approx(np.mean(means))
        assert _column(statistics, "std")[row].item() == pytest.approx(np.std(means, ddof=1))
        assert _column(statistics, "n")[row].item() == 3


def test_runs_carry_axes_configuration_and_provenance(tmp_path: Path) -> None:
    configs = write_synthetic(tmp_path, ["baseline"], seeds=2)
    file: Any
    with h5py.File(aggregate(tmp_path, ["table2"])) as file:
        runs = file["runs"]
        assert _column(runs, "run_id").tolist() == [config.run_id() for config in configs]
        assert _column(runs, "axis_seed").tolist() == ["1", "2"]
        assert json.loads(_column(runs, "config")[0])["seed"] == 1
        assert json.loads(_column(runs, "provenance")[0])["commit"].startswith("0123")


def test_an_unfinished_study(tmp_path: Path) -> None:
    configs = write_synthetic(tmp_path, ["baseline"], seeds=1)
    expected = [*configs, config_of("lico", 1)]
    (tmp_path / "runs" / "garbage.h5").write_bytes(b"garbage")
    with open_sealed(aggregate(tmp_path, ["table2"], expected=expected)) as file:
        assert _column(file["missing"], "run_id").tolist() == [expected[1].run_id()]
        assert _column(file["broken"], "file").tolist() == ["garbage.h5"]
        assert np.isnan(_column(file["statistics"], "std")).all()


def test_an_unknown_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match=r"'table22' is not one of table1.*mean 'table2'"):
        aggregate(tmp_path, ["table22"])
