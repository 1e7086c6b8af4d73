"""ImageNet-S with 50 classes: images by class folder, masks as PNG, boxes as CLS-LOC XML."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from defusedxml import ElementTree
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F  # noqa: N812 (torchvision's own name)

from lico.data.missing import DataMissingError
from lico.data.sample import BACKGROUND, IGNORE, OBJECT, Sample, Split

IGNORED_ID = 1000
CLASSES = Path(__file__).with_name("imagenet_s50_classes.csv")
FOLDERS = {"train": "train", "val": "validation"}
MASKS = "validation-segmentation"
BOXES = "annotations"


class _Entry(NamedTuple):
    path: Path
    label: int


class ImageNetS50:
    """ImageNet-S50 in the layout that its authors' preparation script makes.

        <root>/ImageNetS50/train/<wnid>/*.JPEG                        64,431 images
        <root>/ImageNetS50/validation/<wnid>/*.JPEG                   752 images
        <root>/ImageNetS50/validation-segmentation/<wnid>/*.png       id = R + 256·G
        <root>/ImageNetS50/annotations/<name of the image>.xml        CLS-LOC boxes (optional)

    Validation images, masks and boxes go through the same resizing of the shorter side and
    centre crop. Folders name the class that the data set's mapping file gives an image, which
    for 136 validation images is not the class that ImageNet gave its boxes: only boxes of the
    folder's class count. Mask ids: 0 other, 1000 ignored, otherwise 1 + class index.
    """

    name = "imagenet_s50"
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(
        self, root: str | Path, split: Split, image_size: int, *, squeeze: bool = False
    ) -> None:
        """List a split's images.

        Args:
            root: folder that holds ImageNetS50.
            split: "train" gives whole images, "val" resized ones with masks and boxes.
            image_size: side of a validation image in pixels.
            squeeze: resize to a square instead of cropping one out (the Adversarial set).

        Raises:
            DataMissingError: if a folder is not there or has no image.
        """
        self.folder = Path(root) / "ImageNetS50"
        self.split: Split = split
        self.image_size = image_size
        self.squeeze = squeeze
        with CLASSES.open() as file:
            rows = list(csv.DictReader(file))
        self.wnids = [row["wnid"] for row in rows]
        self.class_names = [row["name"] for row in rows]
        needed = [FOLDERS[split]] + ([MASKS] if split == "val" else [])
        for name in needed:
            if not (self.folder / name).is_dir():
                raise DataMissingError(self.name, Path(root), f'folder "ImageNetS50/{name}"')
        self._entries = [
            _Entry(path, label)
            for label, wnid in enumerate(self.wnids)
            for path in sorted((self.folder / FOLDERS[split] / wnid).glob("*.JPEG"))
        ]
        if empty := set(range(len(self.wnids))) - {entry.label for entry in self._entries}:
            wnid = self.wnids[min(empty)]
            lacks = f'image in "ImageNetS50/{FOLDERS[split]}/{wnid}"'
            raise DataMissingError(self.name, Path(root), lacks)

    @property
    def labels(self) -> Int64[Tensor, " images"]:
        """All class indices."""
        return torch.tensor([entry.label for entry in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Sample:
        path, label = self._entries[index]
        image = _read_rgb(path)
        if self.split == "train":
            return Sample(image, label, None, torch.zeros(0, 4))
        height, width = image.shape[1:]
        mask = self._mask(path, label)
        if mask.shape != (height, width):
            raise ValueError(
                f"the mask of {path} has {mask.shape[1]}×{mask.shape[0]} pixels, the image "
                f"{width}×{height}; get both from the same release"
            )
        boxes = self._boxes(path, self.wnids[label], width, height)
        return Sample(
            self._fit(image),
            label,
            self._fit(mask[None], nearest=True)[0],
            self._fit_boxes(boxes, width, height),
        )

    def image_id(self, index: int) -> str:
        """Class folder and file name."""
        path = self._entries[index].path
        return f"{path.parent.name}/{path.stem}"

    def _fit(self, image: Tensor, *, nearest: bool = False) -> Tensor:
        mode = F.InterpolationMode.NEAREST if nearest else F.InterpolationMode.BILINEAR
        size = [self.image_size, self.image_size] if self.squeeze else [self.image_size]
        return F.center_crop(F.resize(image, size, mode), [self.image_size])

    def _mask(self, image: Path, label: int) -> UInt8[Tensor, "height width"]:
        path = self.folder / MASKS / image.parent.name / f"{image.stem}.png"
        if not path.is_file():
            raise DataMissingError(self.name, self.folder.parent, f'mask "{path.name}"')
        pixels = np.asarray(Image.open(path).convert("RGB")).astype(np.int64)
        ids = pixels[:, :, 0] + 256 * pixels[:, :, 1]
        mask = np.full(ids.shape, BACKGROUND, dtype=np.uint8)
        mask[ids == label + 1] = OBJECT
        mask[ids == IGNORED_ID] = IGNORE
        return torch.from_numpy(mask)

    def _boxes(
        self, image: Path, wnid: str, width: int, height: int
    ) -> Float[Tensor, "instances 4"]:
        """Boxes of the class, in pixels of the whole image; none without an XML file."""
        path = self.folder / BOXES / f"{image.stem}.xml"
        if not path.is_file():
            return torch.zeros(0, 4)
        tree = ElementTree.fromstring(path.read_bytes())
        scale_x = width / float(tree.findtext("size/width", str(width)))
        scale_y = height / float(tree.findtext("size/height", str(height)))
        scale = torch.tensor([scale_x, scale_y, scale_x, scale_y])
        boxes = [
            [
                float(node.findtext(f"bndbox/{edge}", "nan"))
                for edge in ("xmin", "ymin", "xmax", "ymax")
            ]
            for node in tree.iter("object")
            if node.findtext("name") == wnid
        ]
        return torch.tensor(boxes).reshape(-1, 4) * scale

    def _fit_boxes(self, boxes: Tensor, width: int, height: int) -> Float[Tensor, "instances 4"]:
        """Through the image's resizing and crop; clipped, and dropped where nothing is left."""
        size = self.image_size
        if self.squeeze:
            new_width, new_height = size, size
        elif width <= height:
            new_width, new_height = size, int(size * height / width)
        else:
            new_width, new_height = int(size * width / height), size
        scale = torch.tensor([new_width / width, new_height / height] * 2)
        left, top = round((new_width - size) / 2), round((new_height - size) / 2)
        moved = boxes * scale - torch.tensor([left, top, left, top])
        clipped = moved.clamp(0, size)
        area = (clipped[:, 2] - clipped[:, 0]) * (clipped[:, 3] - clipped[:, 1])
        return clipped[(area > 0) & (clipped[:, 2] > clipped[:, 0])]


def _read_rgb(path: Path) -> UInt8[Tensor, "3 height width"]:
    """Pixels of an image file, whatever its colour model.

    Raises:
        ValueError: if it cannot be decoded; names the file.
    """
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise ValueError(f"cannot decode {path}: {error}; replace or remove the file") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
