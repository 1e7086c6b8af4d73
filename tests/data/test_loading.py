"""Training batches: every image once, the same whatever the history or the workers."""

import pytest
import torch

from lico.data.augment import apply_crop_flip
from lico.data.loading import Batch, BatchLoader
from lico.data.sample import Sample
from tests.data.synthetic import TinyData


def loader(**changes: object) -> BatchLoader:
    settings = {
        "size": 16, "batch_size": 6, "seed": 1, "augment": True, "crop_scale": (0.3, 1.0),
    }  # fmt: skip
    return BatchLoader(TinyData(), **(settings | changes))  # type: ignore[arg-type]


def same(first: list[Batch], second: list[Batch]) -> bool:
    return all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)
        for a, b in zip(first, second, strict=True)
    )


def test_an_epoch_has_every_image_once() -> None:
    batches = list(loader().epoch(0))
    assert [len(batch.labels) for batch in batches] == [6, 6, 6, 2]
    labels = torch.cat([batch.labels for batch in batches])
    assert torch.equal(labels.sort().values, TinyData().labels.sort().values)
    assert batches[0].images.shape == (6, 3, 16, 16)


def test_history_and_workers_change_nothing() -> None:
    straight = loader()
    list(straight.epoch(0))
    second = list(straight.epoch(1))
    assert same(second, list(loader().epoch(1)))
    assert same(second, list(loader(workers=2).epoch(1)))
    assert not same(second, list(loader().epoch(0)))
    assert not same(second, list(loader(seed=2).epoch(1)))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_from_any_batch_without_loading_those_before(workers: int) -> None:
    whole = list(loader().epoch(3))
    for first in range(5):
        data = Counting()
        rest = BatchLoader(
            data, size=16, batch_size=6, seed=1, augment=True, crop_scale=(0.3, 1.0),
            workers=workers,
        ).epoch(3, first)  # fmt: skip
        assert same(list(rest), whole[first:])
        if not workers:
            assert len(data.loaded) == max(0, 20 - 6 * first)
    interrupted = loader(workers=workers)
    next(interrupted.epoch(3))
    assert same(list(interrupted.epoch(3, 2)), whole[2:])
    with pytest.raises(ValueError, match=r"first_batch=5.*4 batches"):
        next(loader().epoch(0, 5))


class Counting(TinyData):
    """Remembers what was loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[int] = []

    def __getitem__(self, index: int) -> Sample:
        self.loaded.append(index)
        return super().__getitem__(index)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_parts_of_processes_together_are_the_batches(world_size: int) -> None:
    settings = {"batch_size": 8, "world_size": world_size}
    parts = [list(loader(rank=rank, **settings).epoch(1)) for rank in range(world_size)]
    whole = list(loader(batch_size=8).epoch(1))
    assert all(len(loader(rank=rank, **settings)) == 3 for rank in range(world_size))
    for index, batch in enumerate(whole):
        shares = [each[index] for each in parts]
        assert torch.equal(torch.cat([share.images for share in shares]), batch.images)
        assert torch.equal(torch.cat([share.labels for share in shares]), batch.labels)
        assert [share.whole for share in shares] == [len(batch.labels)] * world_size
        assert batch.indices is not None
        assert torch.equal(TinyData().labels[batch.indices], batch.labels)
        assert [len(s.labels) for s in shares] == [
            len(x) for x in batch.labels.tensor_split(world_size)
        ]


def test_a_batch_too_small_for_the_processes_names_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"batch of 2, too few for 3.*training\.batch_size"):
        loader(world_size=3)
    with pytest.raises(ValueError, match="rank=2"):
        loader(rank=2, world_size=2)


def test_pictures_are_normalised_with_the_data_sets_statistics() -> None:
    data = TinyData(images=1)
    (batch,) = BatchLoader(
        data, size=24, batch_size=1, seed=0, augment=False, crop_scale=(0.3, 1.0)
    ).epoch(0)
    pixel = data.images[0, :, 3, 4].double() / 255
    expected = (pixel - torch.tensor(data.mean)) / torch.tensor(data.std)
    torch.testing.assert_close(batch.images[0, :, 3, 4].double(), expected, atol=1e-6, rtol=1e-6)


def test_paired_views_are_crops_of_the_plain_picture() -> None:
    (batch,) = loader(batch_size=20, paired_views=True).epoch(0)
    views = batch.views
    assert views is not None
    assert len(views.crops) == 20
    mean, std = (torch.tensor(x)[:, None, None] for x in (TinyData.mean, TinyData.std))
    for plain, cropped, crop in zip(views.plain, views.cropped, views.crops, strict=True):
        pixels = ((plain * std + mean) * 255).round().to(torch.uint8)
        again = (apply_crop_flip(pixels, crop, 16).float() / 255 - mean) / std
        torch.testing.assert_close(cropped, again, atol=1e-4, rtol=1e-4)
