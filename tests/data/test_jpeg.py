"""Rows of a JPEG file that lies to its decoder about its height."""

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from lico.data.jpeg import cut_below
from tests.data.trees import picture

HEIGHT, WIDTH = 93, 117  # no multiples of a block's side


def saved(**options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(HEIGHT, WIDTH)).save(file, "JPEG", quality=90, **options)
    return file.getvalue()


def decoded(content: bytes, factor: int = 1) -> np.ndarray:
    height, width, *_ = simplejpeg.decode_jpeg_header(content)
    smaller = {"min_height": -(-height // factor), "min_width": -(-width // factor)}
    return simplejpeg.decode_jpeg(content, **smaller, min_factor=factor, strict=False)


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("restart", [0, 2])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_the_rows_above_are_those_of_the_whole(
    sampling: str, progressive: bool, restart: int, factor: int
) -> None:
    content = saved(subsampling=sampling, progressive=progressive, restart_marker_rows=restart)
    whole = decoded(content, factor)
    for rows in range(1, HEIGHT + 1):
        lower, needed = decoded(cut_below(content, rows + 2 * factor), factor), -(-rows // factor)
        np.testing.assert_array_equal(lower[:needed], whole[:needed])


@pytest.mark.parametrize("sampling", ["440", "411", "Gray"])
def test_rarer_samplings(sampling: str) -> None:
    pixels = picture(HEIGHT, WIDTH)
    if sampling == "Gray":
        content = simplejpeg.encode_jpeg(pixels[:, :, :1].copy(), colorspace="GRAY")
    else:
        content = simplejpeg.encode_jpeg(pixels, colorsubsampling=sampling)
    whole = decoded(content)
    for rows in range(1, HEIGHT + 1):
        np.testing.assert_array_equal(decoded(cut_below(content, rows + 2))[:rows], whole[:rows])


def test_the_height_of_a_thumbnail_is_left_alone() -> None:
    exif = Image.Exif()
    exif[0x9286] = "ÿ".encode("latin-1") + simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    content = saved(exif=exif)
    assert content.count(b"\xff\xc0") > 1
    lower = cut_below(content, 20)
    changed = [place for place, (a, b) in enumerate(zip(content, lower, strict=True)) if a != b]
    assert changed == [content.rindex(b"\xff\xc0") + 6]
    assert decoded(lower).shape == (20, WIDTH, 3)


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    content = saved()
    frame = content.index(b"\xff\xc0")
    assert decoded(cut_below(content[:frame] + b"\xff\xff" + content[frame:], 20)).shape[0] == 20


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xe0\x00\x00", b"\xff\xd8junk"]
)
def test_what_is_not_understood_is_left_as_it_is(content: bytes) -> None:
    assert cut_below(content, 5) is content


def test_no_higher_images_and_arithmetic_coding_are_left_as_they_are() -> None:
    content = saved()
    assert cut_below(content, HEIGHT) is content
    arithmetic = content.replace(b"\xff\xc0", b"\xff\xc9", 1)
    assert cut_below(arithmetic, 5) is arithmetic
