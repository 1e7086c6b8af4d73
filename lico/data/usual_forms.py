"""From a data set's name to its source: where each lies in its usual form."""

from pathlib import Path

from lico.config import Data
from lico.data.cifar100 import cifar100
from lico.data.folders import own_source
from lico.data.imagenet import Places, imagenet_1k, imagenet_s
from lico.data.source import Source


def find_source(settings: Data, places: Places, *, download: bool) -> Source:
    """The data set that the settings name, in its usual form.

    Args:
        settings: which; `root` is where a user's own folders are relative to.
        places: where images, annotations, boxes and names lie.
        download: whether to fetch what can be fetched (CIFAR-100).

    Raises:
        DataMissingError: naming what is not there.
        ValueError: if a file is not what it should be, or the embedded scenes are named, which
            are drawn and never packed.
    """
    match settings.name:
        case "scenes":
            raise ValueError("scenes are drawn from a seed and always there; nothing to pack")
        case "cifar100":
            return cifar100(places.images, download=download)
        case "imagenet_s50":
            return imagenet_s(50, places)
        case "imagenet_s300":
            return imagenet_s(300, places)
        case "imagenet_s919":
            return imagenet_s(919, places)
        case "imagenet1k":
            return imagenet_1k(places)
        case "own":
            return own_source(settings.own, Path(settings.root))
