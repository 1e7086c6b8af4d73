"""Packed data sets as torch data sets with random access, also outside this project."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from lico.data.augment import CropFlip, apply_crop_flip
from lico.data.decode import ImageError, decode_crop, decode_rgb
from lico.data.masks import decode_mask
from lico.data.packed.layout import PackError
from lico.data.packed.read import ByteReader, read_header, read_tables
from lico.data.sample import Sample, Split


class PackedImages(Dataset[Sample]):
    """One split of a packed file: whole images with labels, masks and boxes.

    Nothing is open until the first image is read, and every worker process opens the file for
    itself; any number of processes and jobs may read at once.

    Example:
        >>> data = PackedImages("data/imagenet_s50.h5", "val")  # doctest: +SKIP
        >>> data[0].image.shape, data.class_names[data[0].label]  # doctest: +SKIP
    """

    def __init__(self, path: str | Path, split: Split) -> None:
        """Read the tables.

        Raises:
            PackError: if the file is missing, not whole, not a packed data set, or has no such
                split.
        """
        self.path = Path(path)
        self.split: Split = split
        self._reader = ByteReader(self.path)
        header = read_header(self.path)
        self.name = header.name
        self.fingerprint = header.fingerprint
        self.class_names = header.class_names
        self.class_ids = header.class_ids
        self.mean, self.std = header.mean, header.std
        self._tables = read_tables(self.path, split)

    @property
    def labels(self) -> Int64[Tensor, " images"]:
        """All class indices."""
        return torch.from_numpy(self._tables.labels)

    def __len__(self) -> int:
        return len(self._tables.labels)

    def __getitem__(self, index: int) -> Sample:
        index = self._checked(index)
        tables = self._tables
        boxes = torch.zeros(0, 4)
        instances = None
        if tables.boxes is not None and tables.boxes_start is not None:
            start, stop = tables.boxes_start[index], tables.boxes_start[index + 1]
            boxes = torch.from_numpy(tables.boxes[start:stop])
            instances = int(stop - start)
        return Sample(
            torch.from_numpy(self._pixels(index)).permute(2, 0, 1),
            int(tables.labels[index]),
            self._mask(index),
            boxes,
            instances=instances,
        )

    def image_id(self, index: int) -> str:
        """The image's name in the data set, the same on every machine."""
        return bytes(self._tables.ids[self._checked(index)]).decode()

    def image_size(self, index: int) -> tuple[int, int]:
        """Height and width, without reading the image."""
        height, width = self._tables.sizes[self._checked(index)]
        return int(height), int(width)

    def read_crop(self, index: int, crop: CropFlip, size: int) -> UInt8[Tensor, "3 size size"]:
        """A crop of one image, resized and mirrored, decoding no more than it takes."""
        index = self._checked(index)
        if self._tables.pixels is not None:
            pixels = torch.from_numpy(self._pixels(index)).permute(2, 0, 1)
            return apply_crop_flip(pixels, crop, size)
        try:
            return decode_crop(self.file_content(index), crop, size)
        except ImageError as error:
            raise self._damaged(index, error) from error

    def file_content(self, index: int) -> bytes:
        """The image file's bytes, as they were packed.

        Raises:
            PackError: if the images are packed as arrays.
        """
        files, starts = self._tables.files, self._tables.files_start
        if files is None or starts is None:
            raise PackError(f"{self.path} has arrays of pixels and no image files")
        index = self._checked(index)
        return self._reader.read(files, int(starts[index]), int(starts[index + 1]))

    def all_pixels(self, limit: int) -> UInt8[Tensor, "images height width 3"] | None:
        """All images at once, where they are packed as arrays and have at most `limit` bytes."""
        extents = self._tables.pixels
        if extents is None or extents.length > limit:
            return None
        content = bytearray(self._reader.read(extents, 0, extents.length))
        height, width = self.image_size(0)
        return torch.frombuffer(content, dtype=torch.uint8).view(len(self), height, width, 3)

    def _pixels(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        if self._tables.pixels is None:
            try:
                return decode_rgb(self.file_content(index))
            except ImageError as error:
                raise self._damaged(index, error) from error
        height, width = self.image_size(index)
        length = height * width * 3
        content = self._reader.read(self._tables.pixels, index * length, (index + 1) * length)
        return np.frombuffer(bytearray(content), np.uint8).reshape(height, width, 3)

    def _mask(self, index: int) -> UInt8[Tensor, "height width"] | None:
        masks, starts = self._tables.masks, self._tables.masks_start
        if masks is None or starts is None:
            return None
        start, stop = int(starts[index]), int(starts[index + 1])
        if start == stop:
            return None
        return torch.from_numpy(decode_mask(self._reader.read(masks, start, stop)))

    def _checked(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} {self.split} images, asked for {index}")
        return index % len(self)

    def _damaged(self, index: int, error: Exception) -> PackError:
        return PackError(
            f"image {self.image_id(index)} in {self.path} is damaged: {error}; check the file "
            f'with "lico data {self.name} --verify"'
        )


class ImageLabelPairs(Dataset[tuple[Any, int]]):
    """A packed split as (image, label) pairs, like torchvision's ImageFolder.

    Example:
        >>> pairs = ImageLabelPairs("cifar100.h5", "train", transform)  # doctest: +SKIP
        >>> loader = torch.utils.data.DataLoader(pairs, 64, num_workers=4)  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | Path,
        split: Split,
        transform: Callable[[UInt8[Tensor, "3 height width"]], Any] | None = None,
    ) -> None:
        """Read the tables; `transform` takes an RGB image of 8 bits."""
        self.images = PackedImages(path, split)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        sample = self.images[index]
        image = sample.image.contiguous()
        return (self.transform(image) if self.transform else image), sample.label
