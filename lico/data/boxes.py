"""Bounding boxes from ImageNet's CLS-LOC annotations, which are VOC XML."""

import math
from typing import Any
from xml.etree.ElementTree import ParseError

import torch
from defusedxml import DefusedXmlException, ElementTree
from jaxtyping import Float
from torch import Tensor

EDGES = ("xmin", "ymin", "xmax", "ymax")

Boxes = Float[Tensor, "instances 4"]


class BoxError(ValueError):
    """An annotation file cannot be read; the message says why."""


def read_boxes(
    content: bytes, class_id: str, height: int, width: int
) -> tuple[Float[Tensor, "instances 4"], list[str]]:
    """The boxes of one class, in pixels of the image, and what is wrong with those left out.

    Coordinates are scaled by the ratio of the image's size to that in the file and clipped to
    the image. A box without area, or with an edge that is no number, is left out.

    Args:
        content: of the XML file.
        class_id: the wnid whose boxes count; 136 validation images of ImageNet-S50 have boxes
            of another class only.
        height: of the image in pixels.
        width: of the image in pixels.

    Raises:
        BoxError: if it is no XML, or declares entities.
    """
    try:
        tree = ElementTree.fromstring(content)
    except DefusedXmlException as error:
        raise BoxError("declares entities or a document type, which no annotation needs") from error
    except (ParseError, ValueError, LookupError) as error:
        raise BoxError(f"is no XML: {error}") from error
    scale_x = width / _number(tree, "size/width", width)
    scale_y = height / _number(tree, "size/height", height)
    boxes: list[list[float]] = []
    problems: list[str] = []
    for number, node in enumerate(tree.iter("object")):
        if (node.findtext("name") or "").strip() != class_id:
            continue
        edges = [_number(node, f"bndbox/{edge}", math.nan, positive=False) for edge in EDGES]
        x0, x1 = edges[0] * scale_x, edges[2] * scale_x
        y0, y1 = edges[1] * scale_y, edges[3] * scale_y
        box = [max(0.0, x0), max(0.0, y0), min(float(width), x1), min(float(height), y1)]
        if all(math.isfinite(edge) for edge in edges) and box[0] < box[2] and box[1] < box[3]:
            boxes.append(box)
        else:
            found = ", ".join(f"{name}={value:g}" for name, value in zip(EDGES, edges, strict=True))
            problems.append(f"box {number + 1} has no area in the image: {found}")
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), problems


def _number(node: Any, path: str, default: float, *, positive: bool = True) -> float:
    try:
        value = float(node.findtext(path, "nan"))
    except ValueError:
        return default
    if not math.isfinite(value) or (positive and value <= 0):
        return default
    return value


def fit_boxes(
    boxes: Boxes, scale: tuple[float, float], offset: tuple[int, int], size: int
) -> Boxes:
    """Through an image's resizing and crop: clipped, and dropped where nothing is left.

    Args:
        boxes: as x_min, y_min, x_max, y_max.
        scale: of resizing, x and y.
        offset: left and top of the crop, after resizing.
        size: side of the crop in pixels.
    """
    moved = boxes * torch.tensor([*scale, *scale]) - torch.tensor([*offset, *offset])
    clipped = moved.clamp(0, size)
    kept = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    return clipped[kept]
