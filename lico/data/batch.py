"""What a training step is given."""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from lico.data.augment import CropFlip


@dataclass(frozen=True)
class PairedViews:
    """The plain images and crops of them, for methods that compare the two.

    Attributes:
        plain: resized and centre-cropped, normalised.
        cropped: cut from `plain`, normalised.
        crops: how, in pixels of `plain`.
    """

    plain: Float[Tensor, "batch 3 size size"]
    cropped: Float[Tensor, "batch 3 size size"]
    crops: list[CropFlip]


@dataclass(frozen=True)
class Batch:
    """Normalised training images with their labels and, if asked for, paired views.

    Attributes:
        images: normalised.
        labels: class indices.
        views: paired views.
        whole: images of the whole batch, of which this is one process's part; None: not known.
        indices: which images of the data set these are; None: not known.
    """

    images: Float[Tensor, "batch 3 size size"]
    labels: Int64[Tensor, " batch"]
    views: PairedViews | None = None
    whole: int | None = None
    indices: Int64[Tensor, " batch"] | None = None
