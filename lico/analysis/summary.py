"""One run in short: what tables, curves and the gallery need of its file."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from lico.analysis.statistics import Score, score
from lico.config import Config
from lico.names import class_index
from lico.results.format import Cost, RunRecord, SaliencyRecord

Quantity = tuple[str, str]  # saliency method, or "" where there is none; metric
Place = tuple[str, ...]  # levels of the axes but system and seed

_NEAR_CLAMP = 0.01  # curves hold means over an epoch, which lag behind the clamp
_MAX_TEMPERATURE = math.log(100)
_BASELINE_OF_METHOD = {"ce": "baseline"}


class Curve(NamedTuple):
    """A mean over images at each share of changed pixels."""

    fractions: Float[np.ndarray, " points"]
    values: Float[np.ndarray, " points"]


@dataclass(frozen=True)
class GalleryPart:
    """The gallery's images of one run, and what the classifier makes of them.

    Attributes:
        ids: names of the images.
        labels: names of their classes.
        predicted: names of the predicted classes.
        probability: of the true class.
        images: RGB.
        masks: 1 object, 0 background, 255 ignored; None where the data set has none.
        maps: by saliency method, 0 to 1.
    """

    ids: list[str]
    labels: list[str]
    predicted: list[str]
    probability: list[float]
    images: UInt8[np.ndarray, "gallery 3 height width"]
    masks: UInt8[np.ndarray, "gallery height width"] | None
    maps: dict[str, Float[np.ndarray, "gallery map_height map_width"]]


@dataclass(frozen=True)
class RunSummary:
    """One run; `scores` holds means over images and, as means of one, costs and last epochs."""

    config: Config
    provenance: dict[str, Any]
    cost: Cost
    scores: dict[Quantity, Score]
    training: dict[str, list[float]]
    curves: dict[Quantity, Curve]
    gallery: GalleryPart

    @property
    def run_id(self) -> str:
        """Name of the run and of its file."""
        return self.config.run_id()

    @property
    def system(self) -> str:
        """Which system the run is of."""
        return system_of_config(self.config)

    @property
    def place(self) -> Place:
        """Where the run stands besides system and seed."""
        return place_of_config(self.config)

    def value(self, quantity: Quantity) -> float:
        """Mean of a quantity; NaN if the run does not have it."""
        found = self.scores.get(quantity)
        return found.mean if found else math.nan


def system_of_config(config: Config) -> str:
    """Level of the axis "system"; without one, after the method."""
    method = config.method.name
    return config.axes.get("system", _BASELINE_OF_METHOD.get(method, method))


def place_of_config(config: Config) -> Place:
    """Levels of all axes but system and seed."""
    return tuple(level for axis, level in config.axes.items() if axis not in {"system", "seed"})


def summarise(record: RunRecord) -> RunSummary:
    """Reduce a run's record to what the analysis needs."""
    return RunSummary(
        config=record.config,
        provenance=record.provenance,
        cost=record.cost,
        scores=_scores(record),
        training=record.training,
        curves=_curves(record.evaluation.saliency),
        gallery=_gallery(record),
    )


def _scores(record: RunRecord) -> dict[Quantity, Score]:
    found: dict[Quantity, Score] = {
        ("", name): score(values) for name, values in record.evaluation.accuracy.items()
    }
    for method, saliency in record.evaluation.saliency.items():
        found |= {(method, name): score(values) for name, values in saliency.scores.items()}
        found |= _marked_scores(record, method, saliency)
    scalars = _cost_scalars(record.cost) | _last_epoch(record) | _settings(record.config)
    return found | {("", name): score(np.array([value])) for name, value in scalars.items()}


def _marked_scores(
    record: RunRecord, method: str, saliency: SaliencyRecord
) -> dict[Quantity, Score]:
    """Deletion for the marked class and for the others (Appendix A)."""
    marked_class = record.config.data.marker.class_name
    if marked_class is None or "deletion" not in saliency.scores:
        return {}
    index = class_index(record.class_names, marked_class, "data.marker.class_name")
    marked = record.evaluation.labels == index
    deletion = saliency.scores["deletion"]
    return {
        (method, "deletion_marked"): score(deletion[marked]),
        (method, "deletion_others"): score(deletion[~marked]),
    }


def _cost_scalars(cost: Cost) -> dict[str, float]:
    return {
        "seconds_per_epoch": cost.seconds_per_epoch,
        "run_seconds": cost.training_seconds + cost.evaluation_seconds,
        "peak_memory_gb": cost.peak_memory_bytes / 1e9,
        "energy_wh": 1000 * cost.energy_kwh,
        "co2_g": 1000 * cost.co2_kg,
        "grams_co2_per_kwh": 1000 * cost.co2_kg / cost.energy_kwh if cost.energy_kwh else math.nan,
    }


def _settings(config: Config) -> dict[str, float]:
    """What a search varies, for a run of a search."""
    if "point" not in config.axes:
        return {}
    return {
        "alpha": config.method.alpha,
        "beta": config.method.beta,
        "epsilon": config.reading.transport.epsilon,
        "context_length": config.prompt.context_length,
        "learning_rate": config.training.learning_rate,
    }


def _last_epoch(record: RunRecord) -> dict[str, float]:
    """Last value of each training curve, and whether the temperature ended at its clamp."""
    last = {f"final_{name}": values[-1] for name, values in record.training.items() if values}
    temperature = last.get("final_temperature")
    if temperature is not None and record.config.reading.matching.temperature == "exponential":
        inside = _NEAR_CLAMP < temperature < _MAX_TEMPERATURE - _NEAR_CLAMP
        last["temperature_at_clamp"] = float(not inside)
    return last


def _curves(saliency: dict[str, SaliencyRecord]) -> dict[Quantity, Curve]:
    return {
        (method, metric): Curve(part.fractions, _mean_of_finite(values))
        for method, part in saliency.items()
        for metric, values in part.curves.items()
    }


def _mean_of_finite(
    curves: Float[np.ndarray, "images points"],
) -> Float[np.ndarray, " points"]:
    """Mean over the images whose curve is finite throughout; NaN if there is none."""
    values = np.asarray(curves, np.float64)
    whole = values[np.isfinite(values).all(axis=1)]
    empty = np.full(values.shape[1], np.nan)
    return np.asarray(whole.mean(axis=0), np.float64) if len(whole) else empty


def _gallery(record: RunRecord) -> GalleryPart:
    evaluation = record.evaluation
    index = evaluation.gallery_index
    logits = evaluation.logits[index].astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    labels = evaluation.labels[index]
    names = record.class_names
    return GalleryPart(
        ids=[evaluation.image_ids[each] for each in index],
        labels=[names[label] for label in labels],
        predicted=[names[best] for best in logits.argmax(axis=1)],
        probability=probabilities[np.arange(len(index)), labels].tolist(),
        images=evaluation.gallery_images,
        masks=evaluation.gallery_masks,
        maps={name: part.maps[index] for name, part in evaluation.saliency.items()},
    )
