"""Image files to 8-bit RGB pixels, whatever their colour model."""

import io
import math
from typing import Any

import numpy as np
import simplejpeg as _untyped
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from lico.data.augment import CropFlip, apply_crop_flip

simplejpeg: Any = _untyped

JPEG_START = b"\xff\xd8"
PIL_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
FACTORS = (8, 4, 2)  # by which a JPEG can be decoded smaller
SPARE = 2  # a JPEG is decoded at no less than this many times the size that is asked for


class ImageError(ValueError):
    """A file is no image, or not a whole one; the message says what is wrong with it."""


def decode_rgb(content: bytes, factor: int = 1) -> UInt8[np.ndarray, "height width 3"]:
    """Pixels of an image file.

    Grey becomes equal channels, CMYK is converted, transparency is dropped, 16 bits become 8 by
    their high byte. An EXIF orientation is not followed, as masks and boxes do not follow it.

    Args:
        content: of the file.
        factor: 1, 2, 4 or 8: decode a JPEG at so much smaller a scale (sizes are rounded up);
            of no effect on other files.

    Raises:
        ImageError: if it cannot be decoded at all; a JPEG that is cut short gives what it has
            (`check_whole` tells).
    """
    if _turbo_can(content):
        try:
            return _decode_jpeg(content, factor, strict=False)
        except ValueError as error:
            raise ImageError(str(error)) from error
    return _decode_with_pillow(content)


def decode_crop(content: bytes, crop: CropFlip, size: int) -> UInt8[Tensor, "3 size size"]:
    """A crop of an image file, resized and mirrored.

    The pixels are those of decoding everything and then torchvision's resized_crop. Only where
    the crop is at least four times as large as the result is a JPEG decoded at a smaller scale,
    at least twice that of the result (the rule of Pillow's `reducing_gap`).

    Args:
        content: of the file.
        crop: in pixels of the whole image.
        size: side of the result in pixels.
    """
    factor = _factor(crop, size) if _turbo_can(content) else 1
    pixels = decode_rgb(content, factor)
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


def _decode_jpeg(content: bytes, factor: int, *, strict: bool) -> np.ndarray:
    if factor == 1:
        return simplejpeg.decode_jpeg(content, strict=strict)
    height, width, _, _ = simplejpeg.decode_jpeg_header(content)
    return simplejpeg.decode_jpeg(
        content,
        min_height=-(-height // factor),
        min_width=-(-width // factor),
        min_factor=factor,
        strict=strict,
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
