"""Masks: a published PNG becomes one channel that says object, background or ignored."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from lico.data.decode import PIL_ERRORS
from lico.data.sample import BACKGROUND, IGNORE, OBJECT

IGNORED_ID = 1000
Mask = UInt8[np.ndarray, "height width"]


class MaskError(ValueError):
    """A mask cannot be read; the message says why."""


def read_id_mask(content: bytes, label: int) -> Mask:
    """A mask of ImageNet-S: id = R + 256·G, 0 other, 1000 ignored, otherwise 1 + class index.

    Raises:
        MaskError: if it cannot be decoded, or has not three channels of 8 bits.

    Source: ImageNet-S (LUSSeg/ImageNet-S), its README.
    """
    image = _open(content)
    if image.mode not in {"RGB", "RGBA", "P"}:
        raise MaskError(f"is a PNG of mode {image.mode}; ids need the red and green of RGB")
    pixels = np.asarray(image.convert("RGB")).astype(np.int64)
    ids = pixels[:, :, 0] + 256 * pixels[:, :, 1]
    return _three_values(ids == label + 1, ids == IGNORED_ID)


def read_plain_mask(content: bytes, label: int) -> Mask:
    """A mask of one object class: 0 background, 255 ignored, anything else object.

    Palette images (as VOC's) are taken by index.

    Raises:
        MaskError: if it cannot be decoded, or has not one channel of 8 bits.
    """
    image = _open(content)
    if image.mode not in {"L", "P", "1"}:
        raise MaskError(f"is an image of mode {image.mode}; one channel of 8 bits is needed")
    if image.mode == "1":
        return np.asarray(image).astype(np.uint8) * np.uint8(OBJECT)
    values = np.asarray(image)
    return _three_values(values > 0, values == IGNORE)


def encode_mask(mask: Mask) -> bytes:
    """A PNG of one channel."""
    out = io.BytesIO()
    Image.fromarray(mask).save(out, "PNG")
    return out.getvalue()


def decode_mask(content: bytes) -> Mask:
    """What `encode_mask` was given."""
    return np.array(_open(content))


def _three_values(inside: np.ndarray, ignored: np.ndarray) -> Mask:
    mask = np.full(inside.shape, BACKGROUND, dtype=np.uint8)
    mask[inside] = OBJECT
    mask[ignored] = IGNORE
    return mask


def _open(content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except PIL_ERRORS as error:
        raise MaskError(f"cannot be decoded: {error}") from error
    return image
