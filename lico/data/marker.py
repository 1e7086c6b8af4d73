"""The Adversarial set: any data set with a dot on every image of one class."""

from dataclasses import replace

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from lico.config import Marker
from lico.data.sample import ImageData, Sample
from lico.names import class_index


class MarkedData:
    """An image data set whose images of one class carry a filled ellipse.

    Source: the reproduction study, Appendix A; size and place as in its code (an ellipse of
    width/40 × height/40 at the top left corner).
    """

    def __init__(self, data: ImageData, marker: Marker) -> None:
        """Wrap a data set.

        Raises:
            ValueError: if `marker.class_name` is none of the data set's classes.
        """
        if marker.class_name is None:
            raise ValueError("data.marker.class_name is not set; name the class to mark")
        self.data = data
        self.marker = marker
        self.marked_class = class_index(
            data.class_names, marker.class_name, "data.marker.class_name"
        )
        self.name = data.name
        self.class_names = data.class_names
        self.mean, self.std = data.mean, data.std
        self.fingerprint: str | None = getattr(data, "fingerprint", None)

    @property
    def labels(self) -> Int64[Tensor, " images"]:
        """All class indices."""
        return self.data.labels

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        sample = self.data[index]
        if sample.label != self.marked_class:
            return sample
        return replace(sample, image=draw_marker(sample.image, self.marker))

    def image_id(self, index: int) -> str:
        """The wrapped data set's name of the image."""
        return self.data.image_id(index)


def draw_marker(image: UInt8[Tensor, "3 height width"], marker: Marker) -> Tensor:
    """A copy of the image with the marker; every pixel whose centre lies in the ellipse.

    A marker smaller than a pixel colours the pixel at its place.
    """
    height, width = image.shape[1:]
    ry, rx = marker.size * height / 2, marker.size * width / 2
    cy, cx = marker.y * height + ry, marker.x * width + rx
    y = (torch.arange(height) + 0.5 - cy) / ry
    x = (torch.arange(width) + 0.5 - cx) / rx
    inside = y[:, None].square() + x[None, :].square() <= 1
    inside[min(int(cy), height - 1), min(int(cx), width - 1)] = True
    colour = torch.tensor(marker.colour, dtype=torch.uint8)[:, None, None]
    return torch.where(inside, colour, image)
