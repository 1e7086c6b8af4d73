"""Which runs count, and what is said of the others."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lico.analysis.collect import collect
from lico.results.writer import write_run
from tests.analysis.synthetic import (
    CLASSES,
    config_of,
    provenance_of,
    record_of,
    with_scores,
    write_synthetic,
)


def test_means_agree_with_a_literal_loop(tmp_path: Path) -> None:
    write_synthetic(tmp_path, ["lico"], seeds=3)
    study = collect(tmp_path)
    totals: list[float] = []
    for seed in (1, 2, 3):
        scores = record_of(config_of("lico", seed)).evaluation.saliency["rise"].scores["mosu"]
        kept = [value for value in scores.tolist() if math.isfinite(value)]
        totals.append(sum(kept) / len(kept))
    found = study.spread("lico", ("rise", "mosu"))
    assert found is not None
    mean = sum(totals) / 3
    assert list(found.values.values()) == pytest.approx(totals, rel=1e-14)
    assert found.mean == pytest.approx(mean, rel=1e-14)
    assert found.std == pytest.approx(math.sqrt(sum((t - mean) ** 2 for t in totals) / 2))
    image_scores = study.image_scores("lico", ("rise", "mosu"))
    assert {(s.images, s.undefined, s.infinite) for s in image_scores.values()} == {(13, 26, 1)}


def test_last_epoch_and_clamp(tmp_path: Path) -> None:
    write_synthetic(tmp_path, ["lico", "ot"], seeds=1)
    study = collect(tmp_path)
    at_clamp = study.spread("lico", ("", "temperature_at_clamp"))
    assert at_clamp is not None
    assert at_clamp.mean == 1
    assert study.spread("ot", ("", "temperature_at_clamp")) is None
    last = record_of(config_of("ot", 1)).training["marginal_error"][-1]
    found = study.spread("ot", ("", "final_marginal_error"))
    assert found is not None
    assert found.mean == last


def test_deletion_of_the_marked_class(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    config = config_of("adversarial", 1)
    marked = np.arange(40) % 12 == CLASSES.index("star")
    record = with_scores(record_of(config), "gradcam", deletion=np.where(marked, 0.125, 0.5))
    write_run(record, tmp_path / "runs" / f"{config.run_id()}.h5")
    run = collect(tmp_path).runs[0]
    assert run.value(("gradcam", "deletion_marked")) == 0.125
    assert run.value(("gradcam", "deletion_others")) == 0.5


def test_broken_missing_and_foreign_runs_are_listed(tmp_path: Path) -> None:
    configs = write_synthetic(tmp_path, ["baseline", "lico"], seeds=2)
    first, second = (tmp_path / "runs" / f"{config.run_id()}.h5" for config in configs[:2])
    first.write_bytes(first.read_bytes()[:-100])
    second.unlink()
    foreign = config_of("lico", 1, training={"epochs": 3})
    write_run(record_of(foreign), tmp_path / "runs" / f"{foreign.run_id()}.h5")
    study = collect(tmp_path, configs)
    assert [run.run_id for run in study.runs] == [c.run_id() for c in configs[2:]]
    assert "cut short" in study.broken[first.name]
    assert study.missing() == [configs[0].run_id(), configs[1].run_id()]
    assert list(study.left_out) == [foreign.run_id()]
    assert study.expected_of("baseline") == 2
    assert study.expected_of("mm") == 0


def test_without_a_plan_the_newest_run_of_a_place_counts(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    old, new = config_of("lico", 1), config_of("lico", 1, training={"epochs": 3})
    for day, config in ((1, old), (2, new)):
        record = replace(record_of(config), provenance=provenance_of(day))
        write_run(record, tmp_path / "runs" / f"{config.run_id()}.h5")
    study = collect(tmp_path)
    assert [run.run_id for run in study.runs] == [new.run_id()]
    assert list(study.left_out) == [old.run_id()]


def test_an_empty_folder(tmp_path: Path) -> None:
    study = collect(tmp_path / "none")
    assert study.runs == []
    assert study.places() == [()]


def test_a_run_outside_a_study_is_named_after_its_method(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    config = config_of("baseline", 1, axes={})
    write_run(record_of(config), tmp_path / "runs" / f"{config.run_id()}.h5")
    assert collect(tmp_path).systems() == {"baseline"}
