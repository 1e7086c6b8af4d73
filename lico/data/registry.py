"""The data sets by name."""

from lico.config import Data
from lico.data.cifar100 import Cifar100
from lico.data.imagenet_s import ImageNetS50
from lico.data.marker import MarkedData
from lico.data.sample import ImageData, Split
from lico.data.scenes import SceneData


def load_data(settings: Data, split: Split) -> ImageData:
    """One split of the data set that the settings name, marked if they say so.

    Raises:
        DataMissingError: if it is not on this machine.
        ValueError: if the marked class is none of its classes.
    """
    data: ImageData
    match settings.name:
        case "scenes":
            data = SceneData(settings.scenes, settings.image_size, split)
        case "cifar100":
            data = Cifar100(settings.root, split, settings.image_size)
        case "imagenet_s50":
            data = ImageNetS50(
                settings.root, split, settings.image_size, squeeze=settings.augmentation == "none"
            )
    return data if settings.marker.class_name is None else MarkedData(data, settings.marker)
