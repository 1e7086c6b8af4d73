"""The data sets by name."""

from pathlib import Path

from lico.config import Data
from lico.data.fitted import FittedImages
from lico.data.marker import MarkedData
from lico.data.missing import DataMissingError
from lico.data.packed.images import PackedImages
from lico.data.packed.staging import staged
from lico.data.sample import ImageData, Split
from lico.data.scenes import SceneData


def load_data(settings: Data, split: Split) -> ImageData:
    """One split of the data set that the settings name, marked if they say so.

    Training images are whole, validation images have the network's size.

    Raises:
        DataMissingError: if its packed file is not on this machine.
        PackError: if the packed file is not whole.
        ValueError: if the marked class is none of its classes.
    """
    data: ImageData
    if settings.name == "scenes":
        data = SceneData(settings.scenes, settings.image_size, split)
    else:
        data = _packed(settings, split)
    return data if settings.marker.class_name is None else MarkedData(data, settings.marker)


def data_record(data: ImageData) -> dict[str, str | None]:
    """What a result file says of its data: the packed file's fingerprint; none for scenes."""
    return {"data_fingerprint": getattr(data, "fingerprint", None)}


def pack_path(settings: Data) -> Path:
    """Where the packed file of the data set lies."""
    return Path(settings.root) / f"{settings.title}.h5"


def _packed(settings: Data, split: Split) -> ImageData:
    path = pack_path(settings)
    if not path.is_file():
        raise DataMissingError(settings.title, Path(settings.root), f'packed file "{path.name}"')
    images = PackedImages(path if settings.stage is None else staged(path, settings.stage), split)
    if split == "train":
        return images
    return FittedImages(images, settings.image_size, squeeze=settings.augmentation == "none")
