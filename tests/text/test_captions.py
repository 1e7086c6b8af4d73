"""Captions: one for each image, from a file or the data set, each distinct one encoded once."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from lico.build import build_method
from lico.compose import compose_config
from lico.config import Prompt, Scenes
from lico.data.loading import Batch, BatchLoader
from lico.data.sample import Sample
from lico.data.scenes import SceneData
from lico.models.classifier import build_classifier
from lico.text.captions import captions_of, read_captions
from tests.data.synthetic import TinyData

IDS = ["train/0", "train/1", "train/2"]
ROWS = {"train/0": "a red star", "train/1": 'two rings, "blue"', "train/2": "a red star"}
OWN = Prompt(text="caption")


def write(path: Path, rows: dict[str, str], header: str = "image,caption") -> Path:
    lines = [
        f'{image},"{caption.replace(chr(34), chr(34) * 2)}"' for image, caption in rows.items()
    ]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_a_file_gives_the_captions_in_the_order_of_the_images(tmp_path: Path) -> None:
    path = write(tmp_path / "captions.csv", dict(reversed(ROWS.items())))
    assert read_captions(path, IDS) == list(ROWS.values())


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (ROWS | {"train/9": "more"}, r"names images that .* not: 1 images: train/9"),
        ({"train/0": "a", "train/1": "b"}, r"no caption for 1 images: train/2;.*like 'train/0'"),
        (ROWS | {"train/1": "  "}, r"empty caption for 1 images: train/1"),
    ],
)
def test_a_file_that_does_not_fit_the_images_is_explained(
    tmp_path: Path, rows: dict[str, str], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        read_captions(write(tmp_path / "captions.csv", rows), IDS)


def test_a_file_that_is_none_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_captions(tmp_path / "none.csv", IDS)
    with pytest.raises(ValueError, match="first line must name image and caption"):
        read_captions(write(tmp_path / "header.csv", ROWS, "file,text"), IDS)
    twice = write(tmp_path / "twice.csv", ROWS)
    twice.write_text(twice.read_text() + "train/1,again\n")
    with pytest.raises(ValueError, match=r"'train/1' twice"):
        read_captions(twice, IDS)
    (tmp_path / "bytes.csv").write_bytes(b"image,caption\n\xff\xfe,x\n")
    with pytest.raises(ValueError, match="cannot be read"):
        read_captions(tmp_path / "bytes.csv", IDS)


def test_scenes_have_captions_of_their_own() -> None:
    data = SceneData(Scenes(train_images=5), 24, "train")
    assert captions_of(OWN, data) == [data[index].caption for index in range(5)]
    assert captions_of(Prompt(), data) is None


def test_a_data_set_without_captions_asks_for_a_file() -> None:
    class Plain(TinyData):
        def __getitem__(self, index: int) -> Sample:
            return replace(super().__getitem__(index), caption=None)

    with pytest.raises(ValueError, match=r"no captions of its own; set prompt\.captions"):
        captions_of(OWN, Plain())


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="belongs to no class"):
        Prompt(text="caption", class_specific=True)
    with pytest.raises(ValidationError, match="prompt=captions alone"):
        Prompt(captions="file.csv")


@pytest.mark.parametrize("position", ["end", "front"])
def test_each_image_is_compared_with_its_caption(position: str) -> None:
    """The loss with captions is that of one class a distinct caption."""
    captions = ["a red star", "two rings", "a red star", "a green cross"]
    config = compose_config(
        ["data.image_size=32", "prompt=captions", f"prompt.label_position={position}"]
    )
    distinct = list(dict.fromkeys(captions))
    torch.manual_seed(0)
    images = torch.randn(3, 3, 32, 32)
    indices = torch.tensor([2, 3, 0])
    losses: list[dict[str, torch.Tensor]] = []
    for texts, labels in ((captions, [0, 1, 0]), (None, [0, 2, 0])):
        torch.manual_seed(1)
        classifier = build_classifier(config.model, 3).eval()
        names = distinct if texts is None else ["star", "ring", "cross"]
        method = build_method(config, classifier, names, texts)
        losses.append(method(Batch(images, torch.tensor(labels), indices=indices), 0).scalars)
    for name in ("manifold_matching", "optimal_transport"):
        torch.testing.assert_close(losses[0][name], losses[1][name])


def test_a_batch_must_say_which_images_it_has() -> None:
    config = compose_config(["data.image_size=32", "prompt=captions"])
    method = build_method(config, build_classifier(config.model, 3), ["star"] * 3, ["a star"])
    with pytest.raises(ValueError, match="load it with indices"):
        method(Batch(torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64)), 0)


def test_a_caption_that_is_too_long_is_named() -> None:
    config = compose_config(["data.image_size=32", "prompt=captions"])
    long = "star " * 30
    with pytest.raises(ValueError, match=r"caption 'star .* has 30 tokens.*room for 18"):
        build_method(config, build_classifier(config.model, 3), ["star"] * 3, [long])


def test_a_context_that_fills_the_encoder_is_named_with_the_most_that_fits() -> None:
    """The embedded encoder has 32 tokens."""
    names = ["star"] * 3
    fitting = compose_config(["data.image_size=32", "prompt.context_length=29"])
    build_method(fitting, build_classifier(fitting.model, 3), names)
    full = compose_config(["data.image_size=32", "prompt.context_length=30"])
    with pytest.raises(ValueError, match=r"prompt\.context_length=30 .*give 29 at most"):
        build_method(full, build_classifier(full.model, 3), names)


def test_loader_tells_the_indices_and_the_whole_batch() -> None:
    data = TinyData(images=12)
    seen: list[int] = []
    for rank in range(2):
        loader = BatchLoader(
            data, size=32, batch_size=5, seed=0, augment=True, crop_scale=(0.3, 1.0),
            rank=rank, world_size=2,
        )  # fmt: skip
        batches = list(loader.epoch(0))
        assert [batch.whole for batch in batches] == [5, 5, 2]
        assert [batch.whole for batch in loader.epoch(1, 2)] == [2]
        for batch in batches:
            assert batch.indices is not None
            assert torch.equal(batch.labels, data.labels[batch.indices])
            seen.extend(batch.indices.tolist())
    assert sorted(seen) == list(range(len(data)))
