"""The saliency gallery (Fig. 3): the same images across systems, maps small enough for one page."""

import base64
import io
import math
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from lico.analysis.collect import Study
from lico.analysis.summary import Place, RunSummary
from lico.analysis.systems import in_order, system_of

matplotlib: Any = mpl  # its own types are incomplete

_LARGEST_MAP = 28  # a side; larger maps are averaged down for the page
_PNG_UP_TO = 96  # pixels a side; larger pictures are stored as JPEG
_COLOURS = "turbo"


def gallery_data(study: Study, place: Place, labels: dict[str, str]) -> dict[str, Any] | None:
    """All that the page's script draws from, JSON-ready.

    Args:
        study: whose runs to show.
        place: which of the other axes' levels.
        labels: saliency methods in words.

    Returns:
        None if no run has gallery images. Otherwise pictures as data URIs, outlines of the
        objects as SVG paths, and by system and seed the maps (bytes in base64, images one after
        another) and the notes below each picture.
    """
    runs = [run for run in study.runs if run.place == place and run.gallery.ids]
    if not runs:
        return None
    first = min(runs, key=lambda run: in_order({r.system for r in runs}).index(run.system))
    runs = [run for run in runs if run.gallery.ids == first.gallery.ids]
    systems = in_order({run.system for run in runs})
    pictures: list[str] = []
    entries = {
        system: {
            str(run.config.seed): _entry(run, pictures) for run in runs if run.system == system
        }
        for system in systems
    }
    shown = first.gallery
    methods = {name: labels[name] for run in runs for name in run.config.saliency.methods}
    return {
        "size": list(shown.images.shape[2:]),
        "rows": [
            {"label": label, "id": name, "outline": outline}
            for label, name, outline in zip(shown.labels, shown.ids, _outlines(first), strict=True)
        ],
        "systems": [{"name": name, "label": system_of(name).short} for name in systems],
        "methods": [{"name": name, "label": label} for name, label in methods.items()],
        "seeds": sorted({str(run.config.seed) for run in runs}, key=int),
        "colours": _base64(_colour_table()),
        "pictures": pictures,
        "input": entries[first.system][str(first.config.seed)]["pictures"],
        "entries": entries,
    }


def _entry(run: RunSummary, pictures: list[str]) -> dict[str, Any]:
    """One run's part; its pictures are indices into the shared list, which grows."""
    indices: list[int] = []
    for image in run.gallery.images:
        uri = _picture(image)
        if uri not in pictures:
            pictures.append(uri)
        indices.append(pictures.index(uri))
    notes = [
        [predicted, round(probability, 2), predicted == label]
        for predicted, probability, label in zip(
            run.gallery.predicted, run.gallery.probability, run.gallery.labels, strict=True
        )
    ]
    maps = {name: _packed(values) for name, values in run.gallery.maps.items()}
    return {"pictures": indices, "notes": notes, "maps": maps}


def _picture(image: UInt8[np.ndarray, "3 height width"]) -> str:
    """A data URI."""
    kind = "png" if max(image.shape[1:]) <= _PNG_UP_TO else "jpeg"
    buffer = io.BytesIO()
    Image.fromarray(np.moveaxis(image, 0, 2)).save(buffer, kind, quality=85, optimize=True)
    return f"data:image/{kind};base64,{_base64(buffer.getvalue())}"


def _packed(maps: Float[np.ndarray, "gallery height width"]) -> dict[str, Any]:
    """Maps as bytes, 255 at each map's own maximum, as the eye compares shapes, not levels."""
    small = np.stack([_shrunk(each) for each in np.nan_to_num(np.asarray(maps, np.float64))])
    peak = small.max(axis=(1, 2), keepdims=True)
    scaled = np.round(255 * small / np.where(peak > 0, peak, 1)).clip(0, 255).astype(np.uint8)
    return {"shape": list(small.shape[1:]), "values": _base64(scaled.tobytes())}


def _shrunk(
    saliency: Float[np.ndarray, "height width"],
) -> Float[np.ndarray, "small_height small_width"]:
    """Means over equal blocks, so that no side is longer than the page's largest map."""
    height, width = saliency.shape
    factor = math.ceil(max(height, width) / _LARGEST_MAP)
    if factor == 1:
        return saliency
    padded = np.pad(saliency, ((0, -height % factor), (0, -width % factor)), mode="edge")
    rows, columns = (side // factor for side in padded.shape)
    return padded.reshape(rows, factor, columns, factor).mean(axis=(1, 3))


def _outlines(run: RunSummary) -> list[str]:
    masks = run.gallery.masks
    return [""] * len(run.gallery.ids) if masks is None else [outline(mask == 1) for mask in masks]


def outline(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> str:
    """An SVG path along the edges between object and background, in pixels.

    Args:
        mask: where the object is, [height, width].

    Returns:
        Commands such as `M3 4h5`, one a straight edge.
    """
    padded = np.pad(mask, 1)
    path: list[str] = []
    for axis, command in ((0, "h"), (1, "v")):
        edges = np.diff(padded.astype(np.int8), axis=axis) != 0
        lines = edges[:, 1:-1] if axis == 0 else edges[1:-1].T
        for position, line in enumerate(lines):
            steps = np.flatnonzero(np.diff(np.pad(line.astype(np.int8), 1)))
            for start, end in steps.reshape(-1, 2).tolist():
                x, y = (start, position) if axis == 0 else (position, start)
                path.append(f"M{x} {y}{command}{end - start}")
    return "".join(path)


def _colour_table() -> bytes:
    """256 RGB triples."""
    colours: Any = matplotlib.colormaps[_COLOURS]
    return bytes(round(255 * channel) for level in range(256) for channel in colours(level)[:3])


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
