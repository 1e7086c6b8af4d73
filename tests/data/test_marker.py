"""The marker of the Adversarial set."""

import pytest
import torch

from lico.config import Marker
from lico.data.marker import MarkedData, draw_marker
from tests.data.synthetic import TinyData


def test_marks_every_picture_of_one_class_and_no_other() -> None:
    data = TinyData()
    marked = MarkedData(data, Marker(class_name="class 1", size=0.2, colour=[9, 8, 7]))
    for index in range(len(data)):
        before, after = data[index].image, marked[index].image
        changed = (before != after).any(0)
        if data[index].label == 1:
            assert torch.equal(after[:, 2, 2], torch.tensor([9, 8, 7], dtype=torch.uint8))
            assert not changed[5:].any()
            assert not changed[:, 5:].any()
        else:
            assert not changed.any()
    assert torch.equal(marked.labels, data.labels)


def test_dot_is_an_ellipse_of_the_given_size_and_place() -> None:
    image = torch.zeros(3, 200, 400, dtype=torch.uint8)
    dot = draw_marker(image, Marker(class_name="x", size=0.1, x=0.25, y=0.5))[0] > 0
    rows, columns = dot.any(1).nonzero(), dot.any(0).nonzero()
    assert (int(rows.min()), int(rows.max())) == (100, 119)
    assert (int(columns.min()), int(columns.max())) == (100, 139)
    assert dot.sum().item() == pytest.approx(torch.pi * 10 * 20, rel=0.02)


def test_a_dot_smaller_than_a_pixel_still_shows() -> None:
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    assert draw_marker(image, Marker(class_name="x", size=0.01))[0].count_nonzero() == 1


def test_an_unknown_class_is_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"clas 1.*did you mean 'class 1'"):
        MarkedData(TinyData(), Marker(class_name="clas 1"))
