"""What is written is what is read."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import pytest

from lico.errors import ResultsError
from lico.results.format import RunRecord
from lico.results.hdf5 import SEAL_BYTES
from lico.results.reader import check_run, is_finished, read_run
from lico.results.writer import write_run
from tests.analysis.synthetic import config_of, record_of, with_scores


def written(folder: Path, record: RunRecord) -> Path:
    path = folder / f"{record.config.run_id()}.h5"
    write_run(record, path)
    return path


def test_every_part_comes_back_bit_for_bit(tmp_path: Path) -> None:
    record = record_of(config_of("lico", 1))
    back = read_run(written(tmp_path, record))
    assert back.config == record.config
    assert back.provenance == record.provenance
    assert back.class_names == record.class_names
    assert back.training == record.training
    assert back.cost == record.cost
    ours, theirs = record.evaluation, back.evaluation
    assert theirs.image_ids == ours.image_ids
    for name in ("labels", "logits", "gallery_index", "gallery_images", "gallery_masks"):
        _same(getattr(theirs, name), getattr(ours, name))
    assert list(theirs.saliency) == list(ours.saliency)
    for method, part in ours.saliency.items():
        _same(theirs.saliency[method].maps, part.maps)
        _same(theirs.saliency[method].fractions, part.fractions)
        for kind in ("scores", "curves"):
            found, given = getattr(theirs.saliency[method], kind), getattr(part, kind)
            assert set(found) == set(given)
            for name in given:
                _same(found[name], given[name])


def _same(found: np.ndarray, given: np.ndarray) -> None:
    assert found.dtype == given.dtype
    np.testing.assert_array_equal(found, given)


def test_nan_infinity_and_names_beyond_ascii_survive(tmp_path: Path) -> None:
    record = record_of(config_of("baseline", 1))
    record = with_scores(record, "gradcam", mosu=[math.nan, math.inf, *[0.5] * 38])
    record = replace(record, class_names=["größer", "犬", *record.class_names[2:]])
    back = read_run(written(tmp_path, record))
    np.testing.assert_array_equal(
        back.evaluation.saliency["gradcam"].scores["mosu"][:3], [math.nan, math.inf, 0.5]
    )
    assert back.class_names[:2] == ["größer", "犬"]


def test_a_run_without_masks_and_gallery(tmp_path: Path) -> None:
    record = record_of(config_of("baseline", 1))
    evaluation = replace(
        record.evaluation,
        gallery_index=np.empty(0, np.int64),
        gallery_images=np.empty((0, 3, 64, 64), np.uint8),
        gallery_masks=None,
    )
    back = read_run(written(tmp_path, replace(record, evaluation=evaluation)))
    assert back.evaluation.gallery_masks is None
    assert back.evaluation.gallery_images.shape == (0, 3, 64, 64)


def test_a_plain_hdf5_reader_opens_the_file(tmp_path: Path) -> None:
    record = record_of(config_of("lico", 2))
    file: Any
    with h5py.File(written(tmp_path, record)) as file:
        assert file.userblock_size == SEAL_BYTES
        assert file.attrs["format"] == "lico-run"
        assert file.attrs["complete"]
        assert dict(file["axes"].attrs) == {"system": "lico", "seed": "2"}
        maps = file["saliency/gradcam/maps"]
        assert maps.shape == (40, 8, 8)
        assert maps.compression == "gzip"


def test_finished_means_whole_and_of_the_same_configuration(tmp_path: Path) -> None:
    config = config_of("lico", 1)
    path = written(tmp_path, record_of(config))
    assert check_run(path) is None
    assert is_finished(path, config)
    assert not is_finished(path, config_of("lico", 2))
    elsewhere = config.model_dump() | {"run": {"results": "/other", "threads": 2}}
    assert is_finished(path, type(config).model_validate(elsewhere))
    assert not is_finished(tmp_path / "none.h5", config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.zeros(3, np.int64)}, r"images/label has shape \(3,\); it must be \(40,\)"),
        ({"labels": np.full(40, 12)}, "must be in 0 … 11"),
        ({"accuracy": {}}, "it must have top1 and top5"),
        ({"saliency": {}}, "the configuration asks for"),
        ({"gallery_index": np.array([99] * 6)}, "gallery/index must be in 0 … 39"),
        ({"gallery_masks": np.zeros((6, 2, 2), np.uint8)}, "gallery/masks has shape"),
    ],
)
def test_parts_that_do_not_belong_together_are_not_written(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    record = record_of(config_of("baseline", 1))
    for name, value in change.items():  # past checks of types where tests turn them on
        object.__setattr__(record.evaluation, name, value)
    with pytest.raises(ResultsError, match=message):
        written(tmp_path, record)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_metric_is_not_written(tmp_path: Path) -> None:
    record = with_scores(record_of(config_of("baseline", 1)), "rise", beauty=[1.0] * 40)
    with pytest.raises(ResultsError, match=r"rise/scores/beauty is none of insertion, deletion"):
        written(tmp_path, record)


def test_a_file_is_named_after_its_run(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="cannot be written as other"):
        write_run(record_of(config_of("baseline", 1)), tmp_path / "other.h5")
