"""Small images on the device: torchvision's pixels, the loader's order, bits by the image alone."""

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

from lico.data.augment import CropFlip
from lico.data.batch import Batch
from lico.data.loading import BatchLoader
from lico.data.resident import ResidentLoader, crop_flip_resize, plain_views
from lico.data.views import plain_view
from tests.data.synthetic import TinyData

F = v2.functional
CROPS = [
    CropFlip(0, 0, 32, 32, flip=False), CropFlip(3, 5, 20, 14, flip=True),
    CropFlip(31, 31, 1, 1, flip=True), CropFlip(10, 2, 11, 29, flip=False),
]  # fmt: skip


@pytest.mark.parametrize("size", [224, 33, 32, 20, 9])
def test_pixels_are_torchvisions(size: int) -> None:
    """To 1e-4 without 8 bits between the steps, to a grey level with them."""
    images = torch.randint(0, 256, (len(CROPS), 3, 32, 32), dtype=torch.uint8)
    ours = crop_flip_resize(images.permute(0, 2, 3, 1).float(), CROPS, size).permute(0, 3, 1, 2)
    for image, crop, mine in zip(images, CROPS, ours, strict=True):
        for pixels, tolerance in ((image.float(), 1e-3), (image, 1.01)):
            place = (crop.top, crop.left, crop.height, crop.width)
            cut = F.resized_crop(pixels, *place, [size, size], antialias=True)
            theirs = F.hflip(cut) if crop.flip else cut
            torch.testing.assert_close(mine, theirs.float(), atol=tolerance, rtol=0)


@pytest.mark.parametrize("shape", [(32, 32), (20, 33), (64, 40), (49, 49), (103, 49)])
def test_plain_views_are_torchvisions(shape: tuple[int, int]) -> None:
    images = torch.randint(0, 256, (2, 3, *shape)).float()
    ours = plain_views(images.permute(0, 2, 3, 1), 28).permute(0, 3, 1, 2)
    theirs = v2.Compose([v2.Resize(32), v2.CenterCrop(28)])(images)
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=0)


def loaders(**changes: object) -> tuple[ResidentLoader, BatchLoader]:
    data = TinyData()
    settings = {
        "size": 16, "batch_size": 6, "seed": 1, "augment": True, "crop_scale": (0.3, 1.0),
    } | changes  # fmt: skip
    pixels = data.images.permute(0, 2, 3, 1).contiguous()
    resident = ResidentLoader(pixels, data.labels, data.mean, data.std, **settings)  # type: ignore[arg-type]
    return resident, BatchLoader(data, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("augment", [True, False])
def test_batches_are_the_loaders_to_a_grey_level(augment: bool) -> None:
    ours, theirs = loaders(augment=augment, paired_views=True)
    assert len(ours) == len(theirs)
    level = 1.5 / 255 / min(TinyData.std)
    for mine, other in zip(ours.epoch(2), theirs.epoch(2), strict=True):
        assert torch.equal(mine.labels, other.labels)
        assert (mine.whole, mine.indices.tolist()) == (other.whole, other.indices.tolist())  # type: ignore[union-attr]
        torch.testing.assert_close(mine.images, other.images, atol=level, rtol=0)
        assert mine.views is not None
        assert other.views is not None
        assert mine.views.crops == other.views.crops
        torch.testing.assert_close(mine.views.plain, other.views.plain, atol=level, rtol=0)
        torch.testing.assert_close(mine.views.cropped, other.views.cropped, atol=2 * level, rtol=0)
        assert mine.images.is_contiguous(memory_format=torch.channels_last)


def images_of(batches: list[Batch]) -> torch.Tensor:
    return torch.cat([batch.images for batch in batches])


def test_bits_depend_on_the_image_alone() -> None:
    whole = list(loaders()[0].epoch(1))
    assert torch.equal(images_of(list(loaders()[0].epoch(1, 2))), images_of(whole[2:]))
    assert torch.equal(images_of(list(loaders(batch_size=5)[0].epoch(1))), images_of(whole))
    assert not torch.equal(images_of(list(loaders()[0].epoch(0))), images_of(whole))


def test_processes_share_the_batches() -> None:
    whole = list(loaders(batch_size=10)[0].epoch(1))
    parts = [list(loaders(batch_size=10, rank=r, world_size=3)[0].epoch(1)) for r in range(3)]
    for index, batch in enumerate(whole):
        assert torch.equal(images_of([part[index] for part in parts]), batch.images)
    with pytest.raises(ValueError, match="too few for 3 processes"):
        loaders(rank=0, world_size=3)


def test_distribution_is_that_of_random_resized_crop() -> None:
    """Of pixels: the mean colour of augmented ramps, which place, size and flip all change."""
    ramp = torch.arange(32, dtype=torch.uint8).expand(32, 32) * 8
    image = torch.stack([ramp, ramp.T, (ramp + ramp.T) // 2])
    count = 1500
    loader = ResidentLoader(
        image.permute(1, 2, 0).expand(count, 32, 32, 3), torch.zeros(count, dtype=torch.int64),
        (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), size=8, batch_size=500, seed=3, augment=True,
        crop_scale=(0.08, 1.0),
    )  # fmt: skip
    ours = images_of(list(loader.epoch(0)))
    torch.manual_seed(0)
    transform = v2.Compose([v2.RandomResizedCrop(8), v2.RandomHorizontalFlip()])
    theirs = torch.stack([transform(image) for _ in range(count)]).float() / 255
    for statistic in (
        lambda x: x.mean((2, 3))[:, 0], lambda x: x.mean((2, 3))[:, 1],
        lambda x: (x[:, 0, :, -1] - x[:, 0, :, 0]).mean(1), lambda x: x.amax((1, 2, 3)),
    ):  # fmt: skip
        assert stats.ks_2samp(statistic(ours), statistic(theirs)).pvalue > 0.001


def test_the_plain_view_is_resize_256_centre_crop_224() -> None:
    image = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (3, 300, 400), dtype=np.uint8)
    )
    theirs = v2.Compose([v2.Resize(256), v2.CenterCrop(224)])(image)
    assert torch.equal(plain_view(image, 224), theirs)
