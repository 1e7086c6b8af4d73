"""ImageNet-S and ImageNet from small trees: which images, which class, which masks and boxes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lico.data.fitted import FittedImages
from lico.data.imagenet import Places, imagenet_1k, imagenet_s
from lico.data.imagenet_lists import ListError, read_mapping, read_names
from lico.data.missing import DataMissingError
from lico.data.packed.images import PackedImages
from lico.data.packed.write import write_pack
from lico.data.source import FileSplit, Source
from tests.data.trees import (
    BOX,
    FISH,
    XML,
    encoded,
    id_mask,
    pack_imagenet_s50,
    picture,
    wnids_of_50,
    write_imagenet_s50,
)

MAPPING = "ImageNetS_im50_mapping_validation.txt"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_imagenet_s50(root)
    return pack_imagenet_s50(root).path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_imagenet_s50(tmp_path)


def val_of(source: Source) -> FileSplit:
    val = source.splits["val"]
    assert isinstance(val, FileSplit)
    return val


def test_boxes_and_image_through_the_same_crop(packed: Path) -> None:
    whole = PackedImages(packed, "val")
    data = FittedImages(whole, 224)
    assert (len(data), data.class_names[1]) == (50, "tiger shark")
    sample = data[0]
    assert sample.image.shape == (3, 224, 224)
    # 500 × 375 → 298 × 224, crop 37 from the left; the box of another class is not counted,
    # the one at the left edge is cropped away.
    x = torch.tensor([170.0, 330.0]) * 298 / 500 - 37
    y = torch.tensor([100.0, 200.0]) * 224 / 375
    expected = torch.stack([x[0], y[0], x[1], y[1]])
    torch.testing.assert_close(sample.boxes, expected[None])
    assert sample.instances == 2
    assert whole[0].boxes.tolist() == [[170, 100, 330, 200], [0, 0, 50, 40]]


def test_masks_tell_object_ignored_and_background(packed: Path) -> None:
    sample = FittedImages(PackedImages(packed, "val"), 40)[3]  # 60 × 40: ten rows off at each end
    assert sample.mask is not None
    assert sample.mask[5, 10] == 1
    assert sample.mask[22, 10] == 255
    assert sample.mask[32, 10] == 0
    assert sample.mask[5, 35] == 0
    assert len(sample.boxes) == 0


def test_the_mask_is_resized_as_the_image_is(packed: Path) -> None:
    sample = FittedImages(PackedImages(packed, "val"), 224, squeeze=True)[0]
    assert sample.mask is not None
    inside = sample.mask == 1
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    for places, low, high, side in ((rows, 10, 20, 375), (columns, 5, 30, 500)):
        assert int(places[0]) == pytest.approx(low * 224 / side, abs=1)
        assert int(places[-1]) + 1 == pytest.approx(high * 224 / side, abs=1)


def test_squeezed_whole_for_the_adversarial_set(packed: Path) -> None:
    sample = FittedImages(PackedImages(packed, "val"), 100, squeeze=True)[0]
    assert sample.image.shape == (3, 100, 100)
    expected = torch.tensor([[34, 100 / 3.75, 66, 200 / 3.75], [0, 0, 10, 40 / 3.75]])
    torch.testing.assert_close(sample.boxes, expected)


def test_training_images_are_whole_and_their_bytes_kept(packed: Path) -> None:
    data = PackedImages(packed, "train")
    file = packed.parent / "ImageNetS50" / "train" / FISH / "train_0.JPEG"
    assert data[0].image.shape == (3, 375, 500)
    assert data.file_content(0) == file.read_bytes()
    assert data.image_id(0) == f"{FISH}/train_0"
    assert data[0].mask is None
    assert data[0].instances is None


def relabel(tree: Path) -> list[str]:
    """A mapping file in which the fish's image was a dog's in ImageNet."""
    lines = [
        f"{'n02101006' if number == 0 else wnid}/validation_{number}.JPEG "
        f"{wnid}/validation_{number}.JPEG"
        for number, wnid in enumerate(wnids_of_50())
    ]
    (tree / MAPPING).write_text("\n".join(lines) + "\n")
    return lines


def test_the_mapping_decides_the_class(tree: Path, tmp_path: Path) -> None:
    """The same set out of an ImageNet tree, where the fish's image lies with the dogs."""
    relabel(tree)
    imagenet = tmp_path / "imagenet"
    shutil.copytree(tree / "train", imagenet / "train")
    (imagenet / "val").mkdir()
    for path in (tree / "validation").rglob("*.JPEG"):
        wnid = "n02101006" if path.stem == "validation_0" else path.parent.name
        (imagenet / "val" / wnid).mkdir(exist_ok=True)
        shutil.copy(path, imagenet / "val" / wnid)
    (imagenet / "train" / "n02101006").mkdir()
    carved = imagenet_s(50, Places(imagenet, annotations=tree))
    official = imagenet_s(50, Places(tmp_path))
    assert [(f.name, f.label) for f in val_of(carved).files] == [
        (f.name, f.label) for f in val_of(official).files
    ]
    first = write_pack(carved, tmp_path / "a.h5")
    second = write_pack(official, tmp_path / "b.h5", threads=3)
    assert first.fingerprint == second.fingerprint
    assert PackedImages(first.path, "val").labels.tolist() == list(range(50))


def test_flat_validation_folders(tree: Path, tmp_path: Path) -> None:
    relabel(tree)
    imagenet = tmp_path / "imagenet"
    shutil.copytree(tree / "train", imagenet / "train")
    (imagenet / "val").mkdir()
    for path in (tree / "validation").rglob("*.JPEG"):
        shutil.copy(path, imagenet / "val")
    assert len(val_of(imagenet_s(50, Places(imagenet, annotations=tree)))) == 50


def test_a_whole_imagenet_without_the_mapping_is_refused(tree: Path, tmp_path: Path) -> None:
    (tree / "validation").rename(tree / "val")
    tree.rename(tmp_path / "imagenet")
    with pytest.raises(DataMissingError, match="mapping file"):
        imagenet_s(50, Places(tmp_path / "imagenet"))


def test_what_the_mapping_names_and_is_not_there_is_listed(tree: Path, tmp_path: Path) -> None:
    relabel(tree)
    next((tree / "validation").glob("*/*_7.JPEG")).unlink()
    val = val_of(imagenet_s(50, Places(tmp_path)))
    assert len(val) == 49
    assert "validation_7.JPEG: is in the mapping file and not there" in str(val.problems[0])


@pytest.mark.parametrize(
    "line", ["n01443537/a.JPEG", "n01443537/a.JPEG n01443537/b.JPEG", "x/a.JPEG n01443537/a.JPEG",
             "n01443537/../a.JPEG n01443537/../a.JPEG"]
)  # fmt: skip
def test_a_mapping_that_is_none(line: str, tmp_path: Path) -> None:
    (tmp_path / MAPPING).write_text(f"n01443537/ok.JPEG n01443537/ok.JPEG\n{line}\n")
    with pytest.raises(ListError, match="line 2"):
        read_mapping(tmp_path / MAPPING)


def test_what_is_missing_is_named(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(DataMissingError, match=r'no folder "ImageNetS50/train".*lico data'):
        imagenet_s(50, Places(tmp_path / "elsewhere"))
    shutil.rmtree(tree / "train" / "n01531178")
    with pytest.raises(DataMissingError, match='image in "train/n01531178"'):
        imagenet_s(50, Places(tmp_path))


def test_every_bad_file_is_listed_with_its_name(tree: Path, tmp_path: Path) -> None:
    wnids = wnids_of_50()
    masks, val = tree / "validation-segmentation", tree / "validation"
    annotations = tree / "annotations"
    train = tree / "train" / wnids[0] / "train_0.JPEG"
    shutil.copy(train, train.with_name("train_extra.JPEG"))
    train.write_bytes(train.read_bytes()[:2000])
    Image.new("RGB", (10, 10)).save(masks / wnids[2] / "validation_2.png")
    (masks / wnids[3] / "validation_3.png").unlink()
    (val / wnids[4] / "validation_4.JPEG").write_bytes(b"nothing")
    entity = '<!DOCTYPE a [<!ENTITY b "x">]><annotation>&b;</annotation>'
    (annotations / "validation_5.xml").write_text(entity)
    turned = BOX.format(30, 5, 10, 9, name=wnids[6])
    (annotations / "validation_6.xml").write_text(XML.format(width=40, height=60, objects=turned))
    report = pack_imagenet_s50(tmp_path)
    assert report.counts == {"train": (50, 64_431), "val": (47, 752)}
    listed = "\n".join(map(str, report.problems))
    for words in (
        "train_0.JPEG: cannot be decoded",
        "validation_2.png: has 10×10 pixels, the image 40×60 (image left out)",
        "validation_3.JPEG: has no mask validation_3.png (image left out)",
        "validation_4.JPEG: cannot be decoded",
        "validation_5.xml: declares entities",
        "validation_6.xml: box 1 has no area in the image: xmin=30",
        "validation_7.xml: is not there (no boxes)",
    ):
        assert words in listed
    data = PackedImages(report.path, "val")
    assert [data.labels.tolist()[index] for index in range(3)] == [0, 1, 5]


def test_larger_classes_come_from_the_category_file(tmp_path: Path) -> None:
    """ImageNet-S with 919 classes: the file is not sorted, and some classes are merged."""
    wnids = [f"n{number:08d}" for number in range(917)] + ["n04355933", "n02808440"]
    (tmp_path / "ImageNetS_categories_im919.txt").write_text("\n".join(reversed(wnids)))
    (tmp_path / "names.csv").write_text("\n".join(f"{w},name of {w}" for w in wnids))
    content = encoded(picture(20, 20))
    for wnid in [*wnids, "n04356056"]:
        (tmp_path / "train" / wnid).mkdir(parents=True)
        (tmp_path / "train" / wnid / f"{wnid}_1.JPEG").write_bytes(content)
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "v.JPEG").write_bytes(content)
    masks = tmp_path / "validation-segmentation" / wnids[900]
    masks.mkdir(parents=True)
    (masks / "v.png").write_bytes(encoded(id_mask(900, 20, 20), "PNG"))
    mapping = tmp_path / "ImageNetS_im919_mapping_validation.txt"
    mapping.write_text(f"n09999999/v.JPEG {wnids[900]}/v.JPEG")
    source = imagenet_s(919, Places(tmp_path, names=tmp_path / "names.csv"))
    assert source.class_ids == sorted(wnids)
    assert source.class_names[900] == f"name of {wnids[900]}"
    train = source.splits["train"]
    assert isinstance(train, FileSplit)
    sunglasses = source.class_ids.index("n04355933")
    assert [f.path.name for f in train.files if f.label == sunglasses] == [
        "n04355933_1.JPEG", "n04356056_1.JPEG",
    ]  # fmt: skip
    assert [file.label for file in val_of(source).files] == [900]
    with pytest.raises(ListError, match="wnids and no names"):
        imagenet_s(919, Places(tmp_path))


def test_imagenet_1k_with_class_folders_or_a_solution(tmp_path: Path) -> None:
    content = encoded(picture(20, 20))
    for wnid in ("n01440764", "n01443537"):
        for split in ("train", "val"):
            (tmp_path / split / wnid).mkdir(parents=True)
            (tmp_path / split / wnid / f"{split}_{wnid}.JPEG").write_bytes(content)
    names = "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\n"
    (tmp_path / "LOC_synset_mapping.txt").write_text(names)
    source = imagenet_1k(Places(tmp_path))
    assert source.class_names == ["tench", "goldfish"]
    assert [file.label for file in val_of(source).files] == [0, 1]
    for path in list((tmp_path / "val").rglob("*.JPEG")):
        path.rename(tmp_path / "val" / path.name)
        path.parent.rmdir()
    with pytest.raises(DataMissingError, match="LOC_val_solution"):
        imagenet_1k(Places(tmp_path))
    rows = "ImageId,PredictionString\nval_n01440764,n01443537 1 2 3 4\nval_n01443537,n01443537 1\n"
    (tmp_path / "LOC_val_solution.csv").write_text(rows)
    assert [file.label for file in val_of(imagenet_1k(Places(tmp_path))).files] == [1, 1]
    report = write_pack(imagenet_1k(Places(tmp_path)), tmp_path / "imagenet1k.h5")
    sample = PackedImages(report.path, "val")[0]
    assert sample.mask is None
    assert sample.instances is None


def test_names_that_two_classes_share_keep_their_synonyms(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("n1\tcrane\nn2\tcrane, derrick\nn3\taquarium_fish, x\n")
    names = read_names(path)
    assert names == {"n1": "crane", "n2": "crane, derrick", "n3": "aquarium fish"}
    (tmp_path / "names.json").write_text('{"0": ["n1", "great_white"]}')
    assert read_names(tmp_path / "names.json") == {"n1": "great white"}
    (tmp_path / "names.csv").write_text("n1\n")
    with pytest.raises(ListError, match="no list of class names"):
        read_names(tmp_path / "names.csv")


def test_a_maximum_side_shrinks_image_mask_and_boxes(tree: Path, tmp_path: Path) -> None:
    data = PackedImages(pack_imagenet_s50(tmp_path, max_side=250).path, "val")
    sample = data[0]
    assert sample.image.shape == (3, 188, 250)
    assert sample.mask is not None
    assert sample.mask.shape == (188, 250)
    assert set(sample.mask.unique().tolist()) <= {0, 1, 255}
    expected = torch.tensor([170 / 2, 100 * 188 / 375, 330 / 2, 200 * 188 / 375])
    torch.testing.assert_close(sample.boxes[0], expected)
    whole = Image.fromarray(picture(375, 500)).resize((250, 188), Image.Resampling.LANCZOS)
    difference = np.asarray(whole).transpose(2, 0, 1).astype(float) - sample.image.numpy()
    assert np.abs(difference).mean() < 4  # compressed twice
    assert (
        data.file_content(1)
        == (tree / "validation" / "n01491361" / "validation_1.JPEG").read_bytes()
    )
