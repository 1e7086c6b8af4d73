"""Crops have torchvision's distribution and pixels."""

import numpy as np
import torch
from scipy import stats
from torchvision.transforms import v2

from lico.data.augment import CropFlip, apply_crop_flip, random_crop_flip, view_crop_flip
from lico.randomness import generator


def test_distribution_is_that_of_random_resized_crop() -> None:
    random = generator("test", 1)
    ours = [random_crop_flip(60, 90, (0.08, 1.0), random) for _ in range(3000)]
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(32, scale=(0.08, 1.0))
    image = torch.zeros(3, 60, 90)
    theirs = [transform.make_params([image]) for _ in range(3000)]
    for key in ("top", "left", "height", "width"):
        mine, other = [getattr(c, key) for c in ours], [c[key] for c in theirs]
        assert stats.ks_2samp(mine, other).pvalue > 0.001, key
    assert 0.45 < np.mean([c.flip for c in ours]) < 0.55


def test_pixels_are_those_of_torchvision() -> None:
    image = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    crop = CropFlip(4, 7, 21, 30, flip=True)
    cut = v2.functional.resized_crop(image, 4, 7, 21, 30, [16, 16], antialias=True)
    assert torch.equal(apply_crop_flip(image, crop, 16), v2.functional.hflip(cut))


def test_a_crop_that_never_fits_becomes_the_largest_central_one() -> None:
    crop = random_crop_flip(10, 100, (0.999, 1.0), generator("test", 2))
    assert (crop.height, crop.width, crop.top, crop.left) == (10, 13, 0, 43)


def test_a_view_depends_on_its_names_alone() -> None:
    first = view_crop_flip(64, (0.3, 1.0), seed=1, epoch=2, index=3)
    view_crop_flip(64, (0.3, 1.0), seed=1, epoch=2, index=4)
    assert view_crop_flip(64, (0.3, 1.0), seed=1, epoch=2, index=3) == first
    others = [view_crop_flip(64, (0.3, 1.0), *key) for key in ((2, 2, 3), (1, 3, 3), (1, 2, 4))]
    assert first not in others
