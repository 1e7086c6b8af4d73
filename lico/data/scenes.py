"""The embedded data set: scenes drawn from a seed, with every truth about them known.

Each picture shows one to four bright instances of one figure on dark ground, part of which is
covered by a texture. In training the texture is that of the class with probability
`spurious_correlation`; in validation every texture is equally frequent in every class. So a
classifier is tempted to look at the texture, and whether it does is measurable.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from lico import config
from lico.data.sample import OBJECT, Sample, Split
from lico.data.shapes import SHAPES, plural
from lico.data.textures import TEXTURES, TINTS
from lico.randomness import generator

CLASS_NAMES = list(SHAPES)
TEXTURE_NAMES = list(TEXTURES)
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (240, 80, 65), "orange": (250, 160, 60), "yellow": (245, 230, 90),
    "green": (110, 225, 110), "pink": (250, 160, 200), "white": (245, 245, 245),
    "cyan": (100, 225, 235),
}  # fmt: skip
COUNT_WORDS = ["a", "two", "three", "four"]
TEMPLATES = [
    "{things} on a {texture} background",
    "a picture of {things} with a {texture} background",
    "{things} in front of a {texture} wall",
    "a {texture} background and {things}",
]
SUBSAMPLES = 3  # a side; a pixel belongs to a figure if most of its 9 points do
CLUTTER = 2  # pebbles at most
SMALLEST_SIZE = 16


@dataclass(frozen=True)
class _Drawing:
    image: UInt8[np.ndarray, "3 size size"]
    mask: UInt8[np.ndarray, "size size"]
    boxes: Float32[np.ndarray, "instances 4"]
    spurious: Bool[np.ndarray, "size size"]
    label: int
    caption: str


class SceneData:
    """A split of the embedded data set, drawn when first asked for and kept in memory.

    Image i is the same however many there are, and has the same bytes on every machine.
    """

    name = "scenes"
    class_names = CLASS_NAMES
    mean = (0.32, 0.31, 0.27)
    std = (0.26, 0.23, 0.19)

    def __init__(self, settings: config.Scenes, image_size: int, split: Split) -> None:
        """Choose a split.

        Args:
            settings: how many images, the seed, and the strength of the temptation.
            image_size: side in pixels, at least 16.
            split: "train" or "val".

        Raises:
            ValueError: if the pictures would be too small to show the figures.
        """
        if image_size < SMALLEST_SIZE:
            raise ValueError(
                f"image_size={image_size} is too small for scenes; choose at least {SMALLEST_SIZE}"
            )
        self.settings = settings
        self.image_size = image_size
        self.split: Split = split

    @property
    def labels(self) -> Int64[Tensor, " images"]:
        """All class indices; classes take turns."""
        return torch.arange(len(self)) % len(CLASS_NAMES)

    def __len__(self) -> int:
        return self.settings.train_images if self.split == "train" else self.settings.val_images

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"scenes has {len(self)} {self.split} images, asked for {index}")
        chosen = self.settings
        drawing = _draw(
            chosen.seed, chosen.spurious_correlation, self.image_size, self.split, index
        )
        return Sample(
            torch.from_numpy(drawing.image),
            drawing.label,
            torch.from_numpy(drawing.mask),
            torch.from_numpy(drawing.boxes),
            drawing.caption,
            torch.from_numpy(drawing.spurious),
        )

    def image_id(self, index: int) -> str:
        """Split and index."""
        return f"{self.split}/{index:05d}"


@lru_cache(maxsize=20_000)
def _draw(seed: int, correlation: float, size: int, split: Split, index: int) -> _Drawing:
    random = generator("scene", seed, size, split, index)
    label = index % len(CLASS_NAMES)
    texture = _texture(correlation, split, index, random)
    colour = list(COLOURS)[int(random.integers(len(COLOURS)))]
    canvas, region = _background(size, texture, random)
    for _ in range(int(random.integers(CLUTTER + 1))):
        _paint(canvas, _clutter(size, random), _shade(random))
    mask = np.zeros((size, size), dtype=np.uint8)
    boxes: list[list[int]] = []
    places = _places(random)
    for place in places:
        coverage = _coverage(CLASS_NAMES[label], place, size)
        _paint(canvas, coverage, _jitter(COLOURS[colour], random))
        inside = 2 * coverage > SUBSAMPLES * SUBSAMPLES
        mask[inside] = OBJECT
        boxes.append(_tight_box(inside))
    image = np.clip(canvas, 0, 255).astype(np.uint8).transpose(2, 0, 1)
    return _Drawing(
        np.ascontiguousarray(image),
        mask,
        np.array(boxes, dtype=np.float32),
        region & (mask != OBJECT),
        label,
        _caption(label, colour, texture, len(places), random),
    )


def _texture(correlation: float, split: Split, index: int, random: np.random.Generator) -> int:
    """Of the class or any in training; all in turn for each class in validation."""
    label, turn = index % len(CLASS_NAMES), index // len(CLASS_NAMES)
    free = int(random.integers(len(TEXTURES)))
    tempted = bool(random.random() < correlation)
    if split == "val":
        return (label + turn) % len(TEXTURES)
    return label if tempted else free


def _background(
    size: int, texture: int, random: np.random.Generator
) -> tuple[Int64[np.ndarray, "size size 3"], Bool[np.ndarray, "size size"]]:
    """Dark noisy ground with a texture over the part beyond a random line."""
    ground = random.integers(30, 61) + random.integers(-10, 11, 3)
    canvas = np.broadcast_to(ground, (size, size, 3)).astype(np.int64)
    cosine, sine = _rotation(random, full=True)
    offset = 0.02 + 0.2 * random.random()
    axis = (np.arange(size) + 0.5) / size - 0.5
    region = axis[None, :] * cosine + axis[:, None] * sine > offset
    period = max(4, size // 8) + int(random.integers(-1, 2)) * size // 64
    x, y = np.arange(size)[None, :], np.arange(size)[:, None]
    x, y = np.broadcast_arrays(x + random.integers(period), y + random.integers(period))
    pattern = TEXTURES[TEXTURE_NAMES[texture]](x, y, period)
    dark = _jitter(TINTS[texture], random)
    canvas[region & pattern] = dark
    canvas[region & ~pattern] = (dark + 3 * ground) // 4
    return canvas + random.integers(-8, 9, (size, size, 3)), region


@dataclass(frozen=True)
class _Place:
    """Centre and radius as shares of the side, and a rotation."""

    x: float
    y: float
    radius: float
    cosine: float
    sine: float


def _places(random: np.random.Generator) -> list[_Place]:
    """One figure anywhere, or two to four in different quarters, so that none overlap."""
    draw = random.random()
    count = 1 if draw < 0.6 else 2 if draw < 0.8 else 3 if draw < 0.92 else 4
    if count == 1:
        radius = 0.26 + 0.1 * random.random()
        x, y = (radius + (1 - 2 * radius) * random.random() for _ in range(2))
        return [_Place(x, y, radius, *_rotation(random))]
    places: list[_Place] = []
    for quarter in random.permutation(4)[:count]:
        radius = 0.19 + 0.04 * random.random()
        x, y = (radius + (0.5 - 2 * radius) * random.random() for _ in range(2))
        left, top = int(quarter) % 2, int(quarter) // 2
        places.append(_Place(x + 0.5 * left, y + 0.5 * top, radius, *_rotation(random)))
    return places


def _rotation(random: np.random.Generator, *, full: bool = False) -> tuple[float, float]:
    """Cosine and sine of an angle up to 14 degrees to either side, or of any, by t = tan(θ/2).

    The rational form needs no function whose last bit depends on the machine.
    """
    t = (2 * random.random() - 1) * (1 if full else 1 / 8)
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    if full and random.random() < 0.5:
        return -cosine, -sine
    return cosine, sine


def _coverage(name: str, place: _Place, size: int) -> Int64[np.ndarray, "size size"]:
    """How many of each pixel's sub-samples lie in the figure."""
    low_x, high_x = _window(place.x, place.radius, size)
    low_y, high_y = _window(place.y, place.radius, size)
    x = _subsamples(low_x, high_x, size)[None, :] - place.x
    y = _subsamples(low_y, high_y, size)[:, None] - place.y
    u = (x * place.cosine + y * place.sine) / place.radius
    v = (y * place.cosine - x * place.sine) / place.radius
    inside = SHAPES[name](u, v)
    blocks = inside.reshape(high_y - low_y, SUBSAMPLES, high_x - low_x, SUBSAMPLES)
    coverage = np.zeros((size, size), dtype=np.int64)
    coverage[low_y:high_y, low_x:high_x] = np.count_nonzero(blocks, axis=(1, 3))
    return coverage


def _window(centre: float, radius: float, size: int) -> tuple[int, int]:
    """Pixels that a figure can touch along one axis; its points lie within 1.05 radii."""
    low, high = (centre - 1.05 * radius) * size, (centre + 1.05 * radius) * size
    return max(0, int(low)), min(size, int(high) + 1)


def _subsamples(low: int, high: int, size: int) -> np.ndarray:
    return (np.arange(low * SUBSAMPLES, high * SUBSAMPLES) + 0.5) / (size * SUBSAMPLES)


def _clutter(size: int, random: np.random.Generator) -> Int64[np.ndarray, "size size"]:
    """A pebble: a small disc that is no class."""
    radius = 0.03 + 0.03 * random.random()
    x, y = 0.1 + 0.8 * random.random(), 0.1 + 0.8 * random.random()
    axis = (np.arange(size) + 0.5) / size
    squared = (axis[None, :] - x) * (axis[None, :] - x) + (axis[:, None] - y) * (axis[:, None] - y)
    return np.where(squared < radius * radius, SUBSAMPLES * SUBSAMPLES, 0)


def _paint(canvas: np.ndarray, coverage: np.ndarray, colour: np.ndarray) -> None:
    """Blend a colour in by coverage, in integers."""
    whole = SUBSAMPLES * SUBSAMPLES
    share = coverage[:, :, None]
    touched = coverage > 0
    canvas[touched] = ((canvas * (whole - share) + colour * share) // whole)[touched]


def _shade(random: np.random.Generator) -> np.ndarray:
    return random.integers(60, 200, 3)


def _jitter(colour: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
    return np.clip(np.array(colour) + random.integers(-18, 19, 3), 0, 255)


def _tight_box(inside: Bool[np.ndarray, "size size"]) -> list[int]:
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def _caption(label: int, colour: str, texture: int, count: int, random: np.random.Generator) -> str:
    name = CLASS_NAMES[label]
    noun = name if count == 1 else plural(name)
    article = "an" if count == 1 and colour[0] in "aeiou" else COUNT_WORDS[count - 1]
    template = TEMPLATES[int(random.integers(len(TEMPLATES)))]
    return template.format(things=f"{article} {colour} {noun}", texture=TEXTURE_NAMES[texture])
