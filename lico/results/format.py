"""What one run leaves behind, and how it lies in HDF5 (docs/results.md describes every element).

Written as `<results>/<experiment>/runs/<run_id>.h5`, format "lico-run", version 2, after a user
block of 512 bytes with the SHA-256 of the rest (`lico.results.hdf5`):

    /                       attributes: format, version, run_id, experiment, created, complete
    /config                 the resolved configuration, JSON
    /provenance             versions, commit, hardware, JSON
    /axes                   attributes: the run's place in its study
    /class_names            [classes] UTF-8
    /training/<scalar>      [epochs] float64, one data set a scalar
    /images/id              [images] UTF-8
    /images/label           [images] int64
    /images/logits          [images, classes] float32
    /accuracy/top1, top5    [images] float64, 1 or 0
    /saliency/<method>/maps              [images, h, w] float32, native resolution, 0 to 1
    /saliency/<method>/scores/<metric>   [images] float64; NaN: undefined for this image,
                                         inf: an infinite divergence
    /saliency/<method>/curves/<metric>   [images, points] float32, metric insertion or deletion
    /saliency/<method>/fractions         [points] float64, share of pixels changed
    /gallery/index          [gallery] int64, into /images
    /gallery/images         [gallery, 3, H, W] uint8
    /gallery/masks          [gallery, H, W] uint8, if the data set has masks
    /cost                   attributes: seconds, bytes, kWh (see Cost)
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from lico.config import Config

FORMAT = "lico-run"
VERSION = 2

METRICS = ("insertion", "deletion", "combined", "ses", "sch", "mosu", "spurious_share")


@dataclass(frozen=True)
class SaliencyRecord:
    """Maps of one saliency method on all validation images, and their scores.

    `scores` maps a name of METRICS to one number an image, NaN where it is undefined; metrics
    that the data set cannot have (no masks, say) are absent.
    """

    maps: Float32[np.ndarray, "images height width"]
    scores: dict[str, Float64[np.ndarray, " images"]]
    curves: dict[str, Float32[np.ndarray, "images points"]]
    fractions: Float64[np.ndarray, " points"]


@dataclass(frozen=True)
class Evaluation:
    """A finished classifier on all validation images."""

    image_ids: list[str]
    labels: Int64[np.ndarray, " images"]
    logits: Float32[np.ndarray, "images classes"]
    accuracy: dict[str, Float64[np.ndarray, " images"]]
    saliency: dict[str, SaliencyRecord]
    gallery_index: Int64[np.ndarray, " gallery"]
    gallery_images: UInt8[np.ndarray, "gallery 3 height width"]
    gallery_masks: UInt8[np.ndarray, "gallery height width"] | None


@dataclass(frozen=True)
class Cost:
    """What a run took; energy is NaN where no meter or estimate was to be had."""

    device: str
    training_seconds: float
    seconds_per_epoch: float
    evaluation_seconds: float
    peak_memory_bytes: float
    energy_kwh: float
    co2_kg: float


@dataclass(frozen=True)
class RunRecord:
    """All of one run, in memory; `lico.results.writer` puts it on disk."""

    config: Config
    provenance: dict[str, Any]
    class_names: list[str]
    training: dict[str, list[float]] = field(repr=False)
    evaluation: Evaluation = field(repr=False)
    cost: Cost
