"""Look at every image before it is packed: is it whole, does its mask fit, which boxes count."""

import io
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import simplejpeg as _untyped
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from lico.data.boxes import BoxError, read_boxes
from lico.data.decode import ImageError, check_whole, decode_rgb, image_size
from lico.data.masks import MaskError, encode_mask
from lico.data.source import ImageFile, Problem, Source

simplejpeg = _untyped

QUALITY = 95  # of images that a maximum side makes smaller
AHEAD = 4  # images under way for each thread


@dataclass(frozen=True)
class Ready:
    """An image as it goes into the file, and what was left out of it."""

    label: int
    name: str
    content: bytes
    height: int
    width: int
    mask: bytes | None = None
    boxes: Float[Tensor, "instances 4"] = field(default_factory=lambda: torch.zeros(0, 4))
    problems: list[Problem] = field(default_factory=list[Problem])


def examined(
    files: list[ImageFile], source: Source, max_side: int | None, threads: int
) -> Iterator[Ready | Problem]:
    """Every image in order, ready or with the reason why not; decoding runs in threads."""
    look = partial(examine, source=source, max_side=max_side)
    pending: deque[Future[Ready | Problem]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for file in files:
            pending.append(pool.submit(look, file))
            if len(pending) > AHEAD * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def examine(file: ImageFile, source: Source, max_side: int | None = None) -> Ready | Problem:
    """Read one image with its mask and boxes; what is wrong with it is no exception.

    Args:
        file: which.
        source: the data set's class ids and mask format.
        max_side: make larger images as small, in pixels; their JPEG is compressed again.
    """
    try:
        content = file.path.read_bytes()
        check_whole(content)
        height, width = image_size(content)
        mask = _mask(file, source, height, width)
    except OSError as error:
        return Problem(str(error.filename or file.path), f"cannot be read: {error.strerror}")
    except ImageError as error:
        return Problem(str(file.path), f"cannot be decoded: {error}")
    except MaskError as error:
        return Problem(str(file.mask), str(error))
    boxes, problems = _boxes(file, source.class_ids[file.label], height, width)
    ready = Ready(file.label, file.name, content, height, width, mask, boxes, problems)
    if max_side is None or max(height, width) <= max_side:
        return ready
    return _smaller(ready, max_side)


def _mask(file: ImageFile, source: Source, height: int, width: int) -> bytes | None:
    if source.read_mask is None or file.mask is None:
        return None
    mask = source.read_mask(file.mask.read_bytes(), file.label)
    if mask.shape != (height, width):
        raise MaskError(f"has {mask.shape[1]}×{mask.shape[0]} pixels, the image {width}×{height}")
    return encode_mask(mask)


def _boxes(file: ImageFile, class_id: str, height: int, width: int) -> tuple[Tensor, list[Problem]]:
    if file.boxes is None:
        return torch.zeros(0, 4), []
    try:
        boxes, problems = read_boxes(file.boxes.read_bytes(), class_id, height, width)
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        return torch.zeros(0, 4), [Problem(str(file.boxes), what, "no boxes")]
    except BoxError as error:
        return torch.zeros(0, 4), [Problem(str(file.boxes), str(error), "no boxes")]
    return boxes, [Problem(str(file.boxes), each, "box left out") for each in problems]


def _smaller(ready: Ready, max_side: int) -> Ready:
    """The image, its mask and its boxes with the longer side at `max_side`."""
    scale = max_side / max(ready.height, ready.width)
    height, width = (max(1, round(scale * side)) for side in (ready.height, ready.width))
    image = Image.fromarray(decode_rgb(ready.content))
    pixels = np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))
    content = simplejpeg.encode_jpeg(pixels, quality=QUALITY, colorsubsampling="444")
    mask = ready.mask
    if mask is not None:
        with Image.open(io.BytesIO(mask)) as whole:
            small = whole.resize((width, height), Image.Resampling.NEAREST)
        mask = encode_mask(np.asarray(small))
    x, y = width / ready.width, height / ready.height
    boxes = ready.boxes * torch.tensor([x, y, x, y])
    return Ready(ready.label, ready.name, content, height, width, mask, boxes, ready.problems)
