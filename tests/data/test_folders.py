"""A user's own class folders, with and without masks and boxes."""

from pathlib import Path

import numpy as np
import pytest

from lico.config import Own
from lico.data.folders import own_source
from lico.data.missing import DataMissingError
from lico.data.packed.images import PackedImages
from lico.data.packed.write import write_pack
from tests.data.trees import encoded, picture, write_xml

BIRDS = Own(title="birds", train="birds/train", val="birds/val", masks="masks", boxes="boxes")
BARE = Own(title="birds", train="birds/train", val="birds/val")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes; the validation folder lacks the first, so its order is another."""
    for split, classes in (("train", ("great_tit", "wren")), ("val", ("wren",))):
        for name in classes:
            folder = tmp_path / "birds" / split / name
            folder.mkdir(parents=True)
            for number, kind in enumerate(("JPEG", "PNG")):
                pixels = picture(40, 30, number)
                (folder / f"{split}{number}.{kind.lower()}").write_bytes(encoded(pixels, kind))
    (tmp_path / "masks" / "wren").mkdir(parents=True)
    (tmp_path / "boxes").mkdir()
    mask = np.zeros((40, 30), np.uint8)
    mask[5:10, 5:20] = 3
    for number in range(2):
        (tmp_path / "masks" / "wren" / f"val{number}.png").write_bytes(encoded(mask, "PNG"))
        write_xml(tmp_path / "boxes" / f"val{number}.xml", [("wren", 5, 5, 20, 10)], 30, 40)  # type: ignore[list-item]
    return tmp_path


def test_classes_are_joined_by_name(root: Path) -> None:
    report = write_pack(own_source(BIRDS, root), root / "birds.h5")
    data = PackedImages(report.path, "val")
    assert data.name == "birds"
    assert data.class_names == ["great tit", "wren"]
    assert data.labels.tolist() == [1, 1]
    assert data.image_id(1) == "wren/val1.png"
    sample = data[0]
    assert sample.mask is not None
    assert int((sample.mask == 1).sum()) == 75
    assert sample.boxes.tolist() == [[5, 5, 20, 10]]
    assert not report.problems


def test_masks_and_boxes_are_optional(root: Path) -> None:
    data = PackedImages(write_pack(own_source(BARE, root), root / "birds.h5").path, "val")
    assert data[0].mask is None
    assert data[0].instances is None


def test_what_lacks_a_mask_or_a_box_is_listed(root: Path) -> None:
    (root / "masks" / "wren" / "val0.png").unlink()
    (root / "boxes" / "val1.xml").unlink()
    report = write_pack(own_source(BIRDS, root), root / "birds.h5")
    listed = [str(problem) for problem in report.problems]
    assert len(listed) == 2
    assert "val0.jpeg: has no mask" in listed[0]
    assert "val1.xml: is not there (no boxes)" in listed[1]
    assert report.counts["val"] == (1, None)


def test_readable_names_from_a_file(root: Path) -> None:
    (root / "names.csv").write_text("great_tit,Parus major\n")
    settings = BARE.model_copy(update={"names": "names.csv"})
    assert own_source(settings, root).class_names == ["Parus major", "wren"]


def test_what_is_missing_or_contradicts_is_named(root: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.own\.train is not set"):
        own_source(Own(), root)
    with pytest.raises(DataMissingError, match=r'folder "nests" \(data\.own\.masks\)'):
        own_source(BIRDS.model_copy(update={"masks": "nests"}), root)
    (root / "birds" / "val" / "owl").mkdir()
    with pytest.raises(ValueError, match="class 'owl'"):
        own_source(BARE, root)
    (root / "empty").mkdir()
    with pytest.raises(DataMissingError, match="class folder"):
        own_source(BARE.model_copy(update={"train": "empty"}), root)
