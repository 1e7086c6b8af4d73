"""What every data set of the study gives: an image with its label, mask, boxes and caption."""

from dataclasses import dataclass
from typing import Literal, Protocol

from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

BACKGROUND, OBJECT, IGNORE = 0, 1, 255
Split = Literal["train", "val"]


@dataclass(frozen=True)
class Sample:
    """One image before normalisation.

    Attributes:
        image: RGB, 0 to 255, [3, H, W].
        label: class index.
        mask: per pixel OBJECT (of the image's class), BACKGROUND or IGNORE, [H, W]; None where
            the data set has none.
        boxes: instances of the image's class as x_min, y_min, x_max, y_max in pixels of `image`,
            maxima exclusive, [instances, 4]; no rows where the data set has none.
        caption: a sentence about the image, or None.
        spurious: where the background carries the texture that gives the class away in training,
            [H, W]; None where this is not known.
        instances: how many of the class the whole image has, however many boxes a crop keeps;
            None where this is not known.
    """

    image: UInt8[Tensor, "3 height width"]
    label: int
    mask: UInt8[Tensor, "height width"] | None
    boxes: Float[Tensor, "instances 4"]
    caption: str | None = None
    spurious: Bool[Tensor, "height width"] | None = None
    instances: int | None = None


class ImageData(Protocol):
    """A data set with random access; `name`, `class_names` and `labels` need no image read."""

    name: str
    class_names: list[str]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def labels(self) -> Int64[Tensor, " images"]:
        """All class indices, in the order of the images."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def image_id(self, index: int) -> str:
        """A name of the image that is the same on every machine."""
        ...
