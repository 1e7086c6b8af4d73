"""Annotations as published, and as they should not be."""

import numpy as np
import pytest
import torch
from PIL import Image

from lico.data.boxes import BoxError, fit_boxes, read_boxes
from lico.data.masks import MaskError, decode_mask, encode_mask, read_id_mask, read_plain_mask
from tests.data.trees import BOX, FISH, XML, encoded, id_mask

BOMB = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;&b;&b;">]>
<annotation><size><width>&c;</width></size></annotation>"""
OUTSIDE = """<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>
<annotation><object><name>&b;</name></object></annotation>"""


def xml(*boxes: tuple[object, ...], width: object = 100, height: object = 50) -> bytes:
    objects = "".join(BOX.format(*box, name=name) for name, *box in boxes)
    return XML.format(width=width, height=height, objects=objects).encode()


def test_boxes_of_the_class_in_pixels_of_the_image() -> None:
    content = xml((FISH, 10, 5, 60, 45), ("n02101006", 0, 0, 9, 9), (FISH, 1, 2, 3, 4))
    boxes, problems = read_boxes(content, FISH, height=100, width=300)
    assert boxes.tolist() == [[30, 10, 180, 90], [3, 4, 9, 8]]
    assert problems == []


def test_an_image_without_a_box_of_its_class_has_none() -> None:
    assert read_boxes(xml(("n99", 1, 2, 3, 4)), FISH, 50, 100)[0].shape == (0, 4)
    assert read_boxes(xml(), FISH, 50, 100)[0].shape == (0, 4)


@pytest.mark.parametrize(
    "box", [(60, 5, 10, 45), (5, 45, 10, 5), (5, 5, 5, 9), ("nan", 1, 2, 3), ("", 1, 2, 3),
            ("left", 1, 2, 3), (200, 5, 300, 9), (-9, 5, -1, 9)]
)  # fmt: skip
def test_a_box_without_area_is_left_out_and_said(box: tuple[object, ...]) -> None:
    boxes, problems = read_boxes(xml((FISH, *box), (FISH, 1, 2, 3, 4)), FISH, 50, 100)
    assert boxes.tolist() == [[1, 2, 3, 4]]
    assert len(problems) == 1
    assert "box 1 has no area" in problems[0]


def test_boxes_are_clipped_to_the_image() -> None:
    boxes, _ = read_boxes(xml((FISH, -5, 0, 120, 60)), FISH, 50, 100)
    assert boxes.tolist() == [[0, 0, 100, 50]]


@pytest.mark.parametrize(("width", "height"), [(0, 0), ("", ""), ("wide", "high"), (-1, -1)])
def test_a_size_that_is_none_means_that_of_the_image(width: object, height: object) -> None:
    content = xml((FISH, 1, 2, 3, 4), width=width, height=height)
    assert read_boxes(content, FISH, 50, 100)[0].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize("content", [BOMB, OUTSIDE, "", "<annotation>", "no xml", "\x00\xff"])
def test_what_is_no_annotation_is_refused(content: str) -> None:
    with pytest.raises(BoxError):
        read_boxes(content.encode(), FISH, 50, 100)


def test_boxes_through_resizing_and_crop() -> None:
    boxes = torch.tensor([[10.0, 10, 50, 40], [0, 0, 9, 9], [90, 10, 200, 20]])
    fitted = fit_boxes(boxes, (2.0, 2.0), (20, 0), 100)
    assert fitted.tolist() == [[0, 20, 80, 80]]


def test_id_masks() -> None:
    mask = read_id_mask(encoded(id_mask(300, 60, 40), "PNG"), 300)  # id 301 needs the green
    assert mask[12, 7] == 1
    assert mask[32, 7] == 255
    assert mask[42, 7] == mask[0, 0] == 0
    assert not (read_id_mask(encoded(id_mask(300, 60, 40), "PNG"), 44) == 1).any()
    assert np.array_equal(decode_mask(encode_mask(mask)), mask)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint16)])
def test_id_masks_need_three_channels_of_eight_bits(pixels: np.ndarray) -> None:
    with pytest.raises(MaskError, match="of mode"):
        read_id_mask(encoded(pixels, "PNG"), 0)
    with pytest.raises(MaskError, match="cannot be decoded"):
        read_id_mask(b"no PNG", 0)


def test_plain_masks() -> None:
    values = np.array([[0, 1, 7], [255, 254, 0]], np.uint8)
    expected = [[0, 1, 1], [255, 1, 0]]
    assert read_plain_mask(encoded(values, "PNG"), 3).tolist() == expected
    palette = Image.fromarray(values)
    palette.putpalette([0] * 768)
    assert read_plain_mask(encoded(np.asarray(palette), "PNG"), 3).tolist() == expected
    assert read_plain_mask(encoded(values > 0, "PNG"), 3).tolist() == [[0, 1, 1], [1, 1, 0]]
    with pytest.raises(MaskError, match="of mode RGB"):
        read_plain_mask(encoded(np.zeros((4, 4, 3), np.uint8), "PNG"), 3)
