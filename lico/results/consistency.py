"""Do the parts of a run's record belong together? Asked before writing and after reading."""

from collections.abc import Iterator

import numpy as np

from lico.results.format import METRICS, Evaluation, RunRecord, SaliencyRecord


def inconsistency(record: RunRecord) -> str | None:
    """What is wrong with shapes, names or ranges in a record, or None.

    Returns:
        A sentence that names the element, its shape or value and what is allowed.
    """
    return next(_problems(record), None)


def _problems(record: RunRecord) -> Iterator[str]:
    evaluation = record.evaluation
    lengths = {name: len(values) for name, values in record.training.items()}
    if len(set(lengths.values())) > 1:
        yield f"training curves must be of one length, but are of {lengths}"
    yield from _image_problems(evaluation, len(record.class_names))
    asked, given = set(record.config.saliency.methods), set(evaluation.saliency)
    if asked != given:
        yield f"saliency has {sorted(given)}, but the configuration asks for {sorted(asked)}"
    for method, saliency in evaluation.saliency.items():
        yield from _saliency_problems(f"saliency/{method}", saliency, len(evaluation.image_ids))
    yield from _gallery_problems(evaluation)


def _image_problems(evaluation: Evaluation, classes: int) -> Iterator[str]:
    images = len(evaluation.image_ids)
    yield from _shape("images/label", evaluation.labels, (images,))
    yield from _shape("images/logits", evaluation.logits, (images, classes))
    if evaluation.labels.size and not (
        evaluation.labels.min() >= 0 and evaluation.labels.max() < classes
    ):
        yield f"images/label must be in 0 … {classes - 1}"
    if set(evaluation.accuracy) != {"top1", "top5"}:
        yield f"accuracy has {sorted(evaluation.accuracy)}; it must have top1 and top5"
    for name, values in evaluation.accuracy.items():
        yield from _shape(f"accuracy/{name}", values, (images,))


def _saliency_problems(place: str, saliency: SaliencyRecord, images: int) -> Iterator[str]:
    if saliency.maps.ndim != 3 or len(saliency.maps) != images:
        yield (
            f"{place}/maps has shape {saliency.maps.shape}; it must be ({images}, height, width)"
        )
    for name, values in saliency.scores.items():
        if name not in METRICS:
            yield f"{place}/scores/{name} is none of {', '.join(METRICS)}"
        yield from _shape(f"{place}/scores/{name}", values, (images,))
    for name, values in saliency.curves.items():
        if name not in {"insertion", "deletion"}:
            yield f"{place}/curves/{name} is neither insertion nor deletion"
        yield from _shape(f"{place}/curves/{name}", values, (images, saliency.fractions.size))


def _gallery_problems(evaluation: Evaluation) -> Iterator[str]:
    index, pictures = evaluation.gallery_index, evaluation.gallery_images
    images = len(evaluation.image_ids)
    if index.size and not (index.min() >= 0 and index.max() < images):
        yield f"gallery/index must be in 0 … {images - 1}"
    if pictures.ndim != 4 or pictures.shape[:2] != (index.size, 3):
        yield (
            f"gallery/images has shape {pictures.shape}; it must be ({index.size}, 3, "
            "height, width)"
        )
    elif evaluation.gallery_masks is not None:
        yield from _shape(
            "gallery/masks", evaluation.gallery_masks, (index.size, *pictures.shape[2:])
        )


def _shape(place: str, values: np.ndarray, shape: tuple[int, ...]) -> Iterator[str]:
    if values.shape != shape:
        yield f"{place} has shape {values.shape}; it must be {shape}"
