"""Image files to 8-bit RGB pixels, whatever their colour model."""

import io
import math
import threading
from typing import Any

import numpy as np
import simplejpeg as _untyped
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from lico.data.augment import CropFlip, apply_crop_flip
from lico.data.jpeg import cut_below

simplejpeg: Any = _untyped

JPEG_START = b"\xff\xd8"
PIL_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
FACTORS = (8, 4, 2)  # by which a JPEG can be decoded smaller
PLACE_BYTES = 1 << 23  # of a thread's own memory; pages that are never written take none
CHROMA_REACH = 2  # rows below a pixel that its colour may be interpolated from
SPARE = 2  # a JPEG is decoded at no less than this many times the size that is asked for


_of_thread = threading.local()


class ImageError(ValueError):
    """A file is no image, or not a whole one; the message says what is wrong with it."""


def decode_rgb(
    content: bytes, factor: int = 1, *, place: UInt8[np.ndarray, " bytes"] | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """Pixels of an image file.

    Grey becomes equal channels, CMYK is converted, transparency is dropped, 16 bits become 8 by
    their high byte. An EXIF orientation is not followed, as masks and boxes do not follow it.

    Args:
        content: of the file.
        factor: 1, 2, 4 or 8: decode a JPEG at so much smaller a scale (sizes are rounded up);
            of no effect on other files.
        place: memory that a JPEG's pixels may be written to, if there is enough of it.

    Raises:
        ImageError: if it cannot be decoded at all; a JPEG that is cut short gives what it has
            (`check_whole` tells).
    """
    if _turbo_can(content):
        try:
            return _decode_jpeg(content, factor, strict=False, place=place)
        except ValueError as error:
            raise ImageError(str(error)) from error
    return _decode_with_pillow(content)


def decode_crop(content: bytes, crop: CropFlip, size: int) -> UInt8[Tensor, "3 size size"]:
    """A crop of an image file, resized and mirrored.

    The pixels are those of decoding everything and then torchvision's resized_crop, though what
    lies below the crop in a JPEG is not decoded. Only where the crop is at least four times as
    large as the result is a JPEG decoded at a smaller scale, at least twice that of the result
    (the rule of Pillow's `reducing_gap`).

    Args:
        content: of the file.
        crop: in pixels of the whole image.
        size: side of the result in pixels.
    """
    factor = 1
    if _turbo_can(content):
        factor = _factor(crop, size)
        content = cut_below(content, crop.top + crop.height + CHROMA_REACH * factor)
    pixels = decode_rgb(content, factor, place=_own_place())
    if factor == 1:
        return apply_crop_flip(torch.from_numpy(pixels).permute(2, 0, 1), crop, size)
    top, bottom = crop.top / factor, (crop.top + crop.height) / factor
    left, right = crop.left / factor, (crop.left + crop.width) / factor
    y, x = int(top), int(left)  # nothing beyond the crop may show at its edges
    near = Image.fromarray(pixels[y : math.ceil(bottom), x : math.ceil(right)])
    box = (left - x, top - y, right - x, bottom - y)
    cut = near.resize((size, size), Image.Resampling.BILINEAR, box=box)
    out = torch.from_numpy(np.array(cut)).permute(2, 0, 1)
    return out.flip(2) if crop.flip else out


def image_size(content: bytes) -> tuple[int, int]:
    """Height and width from an image file's header.

    Raises:
        ImageError: if there is none.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.height, image.width
    except PIL_ERRORS as error:
        raise ImageError(str(error)) from error


def check_whole(content: bytes) -> None:
    """Decode everything, to know that it can be.

    Raises:
        ImageError: if the file is cut short, or no image.
    """
    image_size(content)  # refuses sizes that would exhaust the memory
    if _turbo_can(content):
        try:
            _decode_jpeg(content, FACTORS[0], strict=True)
        except ValueError:
            _decode_with_pillow(content)  # a warning of libjpeg's need not be a cut
        return
    _decode_with_pillow(content)


def _turbo_can(content: bytes) -> bool:
    if not content.startswith(JPEG_START):
        return False
    try:
        _, _, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return False
    return space in {"YCbCr", "RGB", "Gray"}


def _own_place() -> np.ndarray:
    """Memory of this thread, for pixels that are read before the next are written.

    Fresh memory for each image would be given and taken back by the system page by page.
    """
    place: np.ndarray | None = getattr(_of_thread, "place", None)
    if place is None:
        place = _of_thread.place = np.empty(PLACE_BYTES, np.uint8)
    return place


def _decode_jpeg(
    content: bytes, factor: int, *, strict: bool, place: np.ndarray | None = None
) -> np.ndarray:
    height, width, _, _ = simplejpeg.decode_jpeg_header(content)
    if place is not None and height * width * 3 > len(place):
        place = None
    if factor == 1:
        return simplejpeg.decode_jpeg(content, strict=strict, buffer=place)
    return simplejpeg.decode_jpeg(
        content,
        min_height=-(-height // factor),
        min_width=-(-width // factor),
        min_factor=factor,
        strict=strict,
        buffer=place,
    )


def _decode_with_pillow(content: bytes) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith("I"):
                high = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(high[:, :, None], 3, axis=2)
            return np.array(image.convert("RGB"))
    except PIL_ERRORS as error:
        raise ImageError(str(error)) from error


def _factor(crop: CropFlip, size: int) -> int:
    smallest = min(crop.height, crop.width)
    return next((factor for factor in FACTORS if smallest >= SPARE * factor * size), 1)
