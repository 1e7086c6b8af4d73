"""The embedded data set: its bytes, its truths, and the temptation in it."""

# pyright: reportPrivateUsage=false

import hashlib
import re

import numpy as np
import pytest
import torch
from scipy import stats

from lico import config
from lico.data import scenes
from lico.data.sample import BACKGROUND, OBJECT, Sample, Split
from lico.data.scenes import CLASS_NAMES, COLOURS, TEXTURE_NAMES, SceneData
from lico.data.shapes import SHAPES, plural

DEFAULT = config.Scenes()
CHECKSUMS = {
    ("train", 64): "4430312de5b7c90b74571e7cccf591bbb2ae786c10790ac10d0438ad8fb7a8f9",
    ("val", 64): "aa0b1ee0e587208518d291fe16fa7f09d51d024dcb0c8e142c9dcf61184a3bcb",
    ("train", 33): "3d92e1be41f0678e3a90fb539528374739ceee87a56423cf6ac839aedfedf50d",
}


def split(name: Split, images: int, size: int = 64, **settings: float | int) -> SceneData:
    chosen = config.Scenes.model_validate(
        {"train_images": images, "val_images": images, **settings}
    )
    return SceneData(chosen, size, name)


def content(sample: Sample) -> bytes:
    assert sample.mask is not None
    assert sample.caption is not None
    assert sample.spurious is not None
    parts = (sample.image, sample.mask, sample.boxes, sample.spurious)
    return b"".join(part.numpy().tobytes() for part in parts) + sample.caption.encode()


def texture_of(sample: Sample) -> int:
    found = [
        i for i, word in enumerate(TEXTURE_NAMES) if re.search(rf"\b{word}\b", sample.caption or "")
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("name", "size"), CHECKSUMS)
def test_the_bytes_are_the_same_everywhere(name: Split, size: int) -> None:
    data = split(name, 36, size, spurious_correlation=0.8)
    digest = hashlib.sha256(b"".join(content(data[i]) for i in range(len(data))))
    assert digest.hexdigest() == CHECKSUMS[name, size]


def test_an_image_depends_on_its_index_alone() -> None:
    for name in ("train", "val"):
        assert content(split(name, 6)[5]) == content(split(name, 60)[5])
    scenes._draw.cache_clear()
    backwards = [content(split("val", 6)[i]) for i in reversed(range(6))]
    scenes._draw.cache_clear()
    assert backwards[::-1] == [content(split("val", 6)[i]) for i in range(6)]


def test_every_setting_and_split_has_its_own_pictures() -> None:
    kinds = [split("train", 12), split("val", 12), split("train", 12, seed=1)]
    images = {data[i].image.numpy().tobytes() for data in kinds for i in range(12)}
    assert len(images) == 36


def test_masks_boxes_and_texture_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boxes again from each figure's own pixels, by a literal search for their extremes."""
    figures: list[np.ndarray] = []
    real = scenes._coverage

    def watched(*arguments: object) -> np.ndarray:
        coverage = real(*arguments)  # type: ignore[arg-type]
        figures.append(2 * coverage > 9)
        return coverage

    monkeypatch.setattr(scenes, "_coverage", watched)
    data = split("train", 48)
    for index in range(len(data)):
        figures.clear()
        scenes._draw.cache_clear()
        sample = data[index]
        assert sample.mask is not None
        assert sample.spurious is not None
        assert sum(figure.astype(int) for figure in figures).max() == 1  # type: ignore[union-attr]
        assert np.array_equal(sample.mask.numpy() == OBJECT, np.logical_or.reduce(figures))
        assert set(np.unique(sample.mask)) == {BACKGROUND, OBJECT}
        assert sample.boxes.tolist() == [literal_box(figure) for figure in figures]
        assert not (sample.spurious & (sample.mask == OBJECT)).any()


def literal_box(figure: np.ndarray) -> list[float]:
    pixels = [(x, y) for y in range(64) for x in range(64) if figure[y, x]]
    xs, ys = [x for x, _ in pixels], [y for _, y in pixels]
    return [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


def test_a_picture_without_its_texture_differs_there_alone() -> None:
    """The same picture with another texture is the same wherever `spurious` does not say so."""
    tempted, free = (split("train", 240, spurious_correlation=p) for p in (1.0, 0.0))
    compared = 0
    for index in range(240):
        one, other = tempted[index], free[index]
        assert one.spurious is not None
        assert one.mask is not None
        if texture_of(one) != texture_of(other):
            same = (one.image == other.image).all(0)
            assert same[~one.spurious & (one.mask == BACKGROUND)].float().mean() > 0.9
            assert same[one.spurious].float().mean() < 0.6
            compared += 1
    assert compared > 150


def test_interface() -> None:
    data = split("val", 24)
    sample = data[3]
    assert sample.image.shape == (3, 64, 64)
    assert sample.image.dtype == sample.mask.dtype == torch.uint8  # type: ignore[union-attr]
    assert sample.boxes.dtype == torch.float32
    assert sample.spurious is not None
    assert sample.spurious.dtype == torch.bool
    assert [data[i].label for i in range(24)] == data.labels.tolist()
    assert len({data.image_id(i) for i in range(24)}) == 24
    assert len(data) == 24
    with pytest.raises(IndexError, match="24 val images, asked for 24"):
        data[24]
    with pytest.raises(ValueError, match=r"image_size=15.*at least 16"):
        split("val", 24, size=15)


@pytest.mark.parametrize("size", [16, 33, 64, 100, 224])
def test_any_size(size: int) -> None:
    data = split("train", 24, size)
    for index in range(24):
        sample = data[index]
        assert sample.image.shape == (3, size, size)
        assert sample.boxes.shape[0] >= 1
        assert (sample.boxes[:, 2:] > sample.boxes[:, :2]).all()
        assert sample.boxes.min() >= 0
        assert sample.boxes.max() <= size


def test_classes_are_balanced_and_counts_vary() -> None:
    data = split("train", 600)
    assert torch.bincount(data.labels).tolist() == [50] * 12
    counts = np.bincount([len(data[i].boxes) for i in range(600)], minlength=5)
    assert counts[0] == 0
    assert len(counts) == 5
    assert (counts[1:] > 20).all()
    assert 0.25 < counts[2:].sum() / 600 < 0.5


def test_the_texture_covers_about_a_third() -> None:
    data = split("train", 120)
    shares = [data[i].spurious.float().mean().item() for i in range(120)]  # type: ignore[union-attr]
    assert 0.2 < np.mean(shares) < 0.4
    assert min(shares) > 0.05


def test_texture_tells_the_class_in_training() -> None:
    data = split("train", 1200)
    agree = np.mean([texture_of(data[i]) == data[i].label for i in range(1200)])
    expected = DEFAULT.spurious_correlation + (1 - DEFAULT.spurious_correlation) / 12
    assert abs(agree - expected) < 0.03
    free = split("train", 1200, spurious_correlation=0.0)
    table = crossed(free)
    assert independence(table) > 0.001


def test_texture_tells_nothing_in_validation() -> None:
    whole = crossed(split("val", 144, spurious_correlation=1.0))
    assert (whole == 1).all()
    assert independence(crossed(SceneData(DEFAULT, 64, "val"))) > 0.9


def independence(table: np.ndarray) -> float:
    """The p-value of Pearson's chi-square test."""
    return float(stats.chi2_contingency(table)[1])  # type: ignore[arg-type]


def crossed(data: SceneData) -> np.ndarray:
    table = np.zeros((12, 12), dtype=int)
    for index in range(len(data)):
        table[data[index].label, texture_of(data[index])] += 1
    return table


def test_captions_tell_what_is_there() -> None:
    data = split("train", 240)
    for index in range(240):
        sample = data[index]
        caption, name, count = sample.caption or "", CLASS_NAMES[sample.label], len(sample.boxes)
        assert re.search(rf"\b{name if count == 1 else plural(name)}\b", caption)
        assert sum(bool(re.search(rf"\b{colour}\b", caption)) for colour in COLOURS) == 1
        if count > 1:
            assert ["two", "three", "four"][count - 2] in caption.split()
        assert texture_of(sample) in range(12)


def test_colour_says_nothing_about_the_class() -> None:
    data = split("train", 1200)
    table = np.zeros((12, len(COLOURS)), dtype=int)
    for index in range(1200):
        words = (data[index].caption or "").split()
        (colour,) = [i for i, word in enumerate(COLOURS) if word in words]
        table[data[index].label, colour] += 1
    assert independence(table) > 0.001


def test_no_figure_is_the_mirror_image_of_another() -> None:
    axis = (np.arange(101) - 50) / 48
    drawn = {name: inside(*np.meshgrid(axis, axis)) for name, inside in SHAPES.items()}
    for name, figure in drawn.items():
        mirrored = figure[:, ::-1]
        for other, seen in drawn.items():
            if other != name:
                assert (mirrored & seen).sum() < 0.85 * (mirrored | seen).sum(), (name, other)
