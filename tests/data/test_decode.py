"""Decoding against Pillow and torchvision, and files that are not what they should be."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as F  # noqa: N812

from lico.data.augment import CropFlip
from lico.data.decode import ImageError, check_whole, decode_crop, decode_rgb, image_size
from tests.data.trees import encoded, picture

PIXELS = picture(90, 130)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_pixels_are_pillows(kind: str) -> None:
    content = encoded(PIXELS, kind)
    theirs = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    check_whole(content)
    assert image_size(content) == (90, 130)
    assert np.array_equal(decode_rgb(content), theirs)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpegs_become_rgb(mode: str) -> None:
    content = encoded(PIXELS, mode=mode)
    theirs = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    check_whole(content)
    assert np.array_equal(decode_rgb(content), theirs)


def test_sixteen_bits_become_eight_by_the_high_byte() -> None:
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    expected = np.repeat((values // 256).astype(np.uint8)[:, :, None], 3, axis=2)
    assert np.array_equal(decode_rgb(encoded(values, "PNG")), expected)


def test_transparency_and_palettes() -> None:
    clear = np.dstack([PIXELS, np.zeros((90, 130, 1), np.uint8)])
    assert np.array_equal(decode_rgb(encoded(clear, "PNG")), PIXELS)
    palette = Image.fromarray(PIXELS).quantize(16)
    out = io.BytesIO()
    palette.save(out, "PNG")
    assert np.array_equal(decode_rgb(out.getvalue()), np.asarray(palette.convert("RGB")))


def test_orientation_tags_turn_nothing() -> None:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(out, "JPEG", exif=exif)
    assert decode_rgb(out.getvalue()).shape == (90, 130, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_file_cut_short_is_refused(kind: str, share: float) -> None:
    content = encoded(PIXELS, kind)
    with pytest.raises(ImageError):
        check_whole(content[: int(share * len(content))])


def test_what_is_no_image_is_refused() -> None:
    for content in (b"", b"<html>not found</html>", b"\xff\xd8\xff garbage"):
        with pytest.raises(ImageError):
            check_whole(content)
        with pytest.raises(ImageError):
            decode_rgb(content)


def test_crops_are_torchvisions() -> None:
    content = encoded(PIXELS)
    whole = torch.from_numpy(decode_rgb(content)).permute(2, 0, 1)
    for crop in (CropFlip(5, 9, 60, 100, flip=True), CropFlip(0, 0, 90, 130, flip=False)):
        cut = F.resized_crop(whole, crop.top, crop.left, crop.height, crop.width, [32, 32])
        expected = F.horizontal_flip(cut) if crop.flip else cut
        assert torch.equal(decode_crop(content, crop, 32), expected)


@pytest.mark.parametrize(("height", "width"), [(700, 1000), (523, 801)])
def test_a_large_crop_is_decoded_smaller_and_hardly_differs(height: int, width: int) -> None:
    content = encoded(picture(height, width))
    whole = torch.from_numpy(decode_rgb(content)).permute(2, 0, 1)
    crop = CropFlip(13, 77, height - 40, width - 120, flip=True)
    cut = F.resized_crop(whole, crop.top, crop.left, crop.height, crop.width, [64, 64])
    difference = (decode_crop(content, crop, 64).float() - F.hflip(cut)).abs()
    assert decode_rgb(content, 4).shape == (-(-height // 4), -(-width // 4), 3)
    assert 0 < difference.mean() < 1
    assert difference.quantile(0.99) <= 8


def test_a_crop_is_not_changed_by_the_next_one() -> None:
    """Also one that is neither resized nor mirrored."""
    first, second = (encoded(PIXELS[::step], "JPEG") for step in (1, -1))
    size = min(PIXELS.shape[:2])
    crop = CropFlip(0, 0, size, size, flip=False)
    kept = decode_crop(first, crop, size)
    before = kept.clone()
    assert not torch.equal(decode_crop(second, crop, size), before)
    assert torch.equal(kept, before)
