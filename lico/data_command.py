"""What `lico data NAME` does: fetch, or say what is there and what a person has to do."""

from collections.abc import Callable
from pathlib import Path

from lico.config import Text
from lico.data.imagenet_s import ImageNetS50
from lico.data.missing import DataMissingError

IMAGENET_S50_STEPS = """\
ImageNet-S50 is not all there: {lacks}
Its images are ImageNet's and need an account there, so they cannot be fetched for you:
  1. download ILSVRC2012 (train, val) and the CLS-LOC validation boxes from ImageNet;
  2. get ImageNet-S's preparation script and mapping files (LUSSeg/ImageNet-S) and make mode 50;
  3. put the result at {folder} with folders train, validation, validation-segmentation;
  4. put the XML boxes of the validation images into {folder}/annotations
Validation images go into the class folder of the mapping file, not of their ImageNet label."""

COUNTS = {"train": 64_431, "val": 752}


def fetch_cifar100(root: Path) -> str:
    """Download the published archive and check its MD5, unless it is there."""
    from torchvision.datasets import CIFAR100  # noqa: PLC0415 (imports torch)

    try:
        CIFAR100(str(root), download=True)
    except (OSError, RuntimeError) as error:
        raise DataMissingError(
            "cifar100", root, f"CIFAR-100, and fetching it failed ({error}); on a machine without "
            'network copy the folder "cifar-100-python" there; it has no folder of that name'
        ) from error  # fmt: skip
    return f"CIFAR-100 is in {root} and its checksums are right"


def look_at_imagenet_s50(root: Path) -> str:
    """Count what is there; the steps for what is not."""
    lines: list[str] = []
    for split in ("train", "val"):
        try:
            found = len(ImageNetS50(root, split, 224))
        except DataMissingError as error:
            return IMAGENET_S50_STEPS.format(lacks=error, folder=root / "ImageNetS50")
        note = "" if found == COUNTS[split] else f" (the published set has {COUNTS[split]:,})"
        lines.append(f"ImageNet-S50 {split}: {found:,} images{note}")
    return "\n".join(lines)


def fetch_clip(root: Path) -> str:
    """Download the text encoder of the real experiments into the Hugging Face cache."""
    from lico.text.loading import weights_file  # noqa: PLC0415 (imports torch)

    return f"CLIP's weights are at {weights_file(Text())}"


FETCHERS: dict[str, Callable[[Path], str]] = {
    "cifar100": fetch_cifar100,
    "imagenet_s50": look_at_imagenet_s50,
    "clip": fetch_clip,
}
