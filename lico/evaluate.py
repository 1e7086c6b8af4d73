"""A finished classifier on all validation images: accuracy, maps, and how good the maps are."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lico.config import Saliency, SaliencyMethod
from lico.data.augment import CropFlip, apply_crop_flip, view_crop_flip
from lico.data.prefetch import sample_batches
from lico.data.sample import ImageData, Sample
from lico.metrics.accuracy import top_k_correct
from lico.metrics.insertion_deletion import (
    Trial,
    area_under_curve,
    fractions,
    insertion_deletion_curves,
    prepare_trial,
)
from lico.metrics.mosu import multi_object_saliency_uniformity
from lico.metrics.sch import segmentation_content_heatmap, spurious_share
from lico.metrics.ses import saliency_equivariance_similarity
from lico.models.classifier import Classifier
from lico.results.format import Evaluation, SaliencyRecord
from lico.saliency.cam import class_activation_maps
from lico.saliency.frozen import frozen_copy
from lico.saliency.rise import random_masks, rise_maps
from lico.saliency.scale import enlarge, scale_to_unit

SES_SCALE = (0.08, 1.0)  # of torchvision's RandomResizedCrop, as in the reproduction study's code
MOST_READERS = 8  # threads that decode validation images while a GPU works
STEP_ROWS = 8  # insertion and deletion change so many rows' worth of pixels a step


@dataclass(frozen=True)
class _Batch:
    """Validation images, their transformed views, and everything that is known of them."""

    samples: list[Sample]
    images: Float[Tensor, "batch 3 size size"]
    targets: Int64[Tensor, " batch"]
    crops: list[CropFlip]
    views: Float[Tensor, "batch 3 size size"]


@dataclass
class _Collected:
    """What one saliency method has given so far, batch by batch."""

    maps: list[Tensor] = field(default_factory=list[Tensor])
    scores: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])
    curves: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])

    def record(self, shares: Tensor) -> SaliencyRecord:
        return SaliencyRecord(
            maps=torch.cat(self.maps).cpu().numpy(),
            scores={k: torch.cat(v).double().cpu().numpy() for k, v in self.scores.items()},
            curves={k: torch.cat(v).cpu().numpy() for k, v in self.curves.items()},
            fractions=shares.numpy(),
        )


def evaluate(
    classifier: Classifier,
    data: ImageData,
    settings: Saliency,
    *,
    device: torch.device,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Evaluate on every image; the classifier is left exactly as it was found.

    All is measured on a frozen copy in evaluation mode. Maps are for the true class.
    Transformations for SES depend on the settings' seed and the image alone, so that models are
    compared on the same ones.

    Args:
        classifier: on `device`.
        data: the validation split, all images square and of one size.
        settings: which maps, how many at a time, and their seed.
        device: where the classifier is.
        on_progress: called with (units done, units in all).

    Raises:
        ValueError: if there is no image, or a logit is not finite.
    """
    if not len(data):
        raise ValueError(f"the validation split of {data.name} has no image")
    collected: dict[SaliencyMethod, _Collected] = {m: _Collected() for m in settings.methods}
    logits: list[Tensor] = []
    whole = len(data) * (1 + len(settings.methods))
    done = 0
    with torch.no_grad():
        scorer = _Scorer(classifier, settings, device)
        for batch in _batches(data, settings, device):
            logits.append(scorer.logits(batch))
            trial = scorer.trial(batch, logits[-1])
            done += len(batch.samples)
            for method, kept in collected.items():
                scorer.score(method, batch, trial, kept)
                done += len(batch.samples)
                if on_progress:
                    on_progress(done, whole)
    return _evaluation(data, settings, torch.cat(logits).cpu(), collected)


class _Scorer:
    """One classifier's maps and scores, a batch at a time."""

    def __init__(self, classifier: Classifier, settings: Saliency, device: torch.device) -> None:
        frozen = Classifier(frozen_copy(classifier.backbone))
        self.backbone, self.layer = frozen.backbone, frozen.layer
        self.settings = settings
        self.device = device
        self._masks: Tensor | None = None

    def logits(self, batch: _Batch) -> Tensor:
        logits = self.backbone(batch.images)
        if not torch.isfinite(logits).all():
            raise ValueError("the classifier's logits are not finite; its training has diverged")
        return logits

    def trial(self, batch: _Batch, logits: Tensor) -> Trial:
        return prepare_trial(self._probability, batch.images, batch.targets, logits.softmax(1))

    def score(self, method: SaliencyMethod, batch: _Batch, trial: Trial, kept: _Collected) -> None:
        """Add maps, scores and curves of one method on one batch."""
        native = self._maps(method, batch.images, batch.targets)
        size = batch.images.shape[-1]
        maps = enlarge(native, size)
        insertion, deletion = insertion_deletion_curves(
            self._probability,
            trial,
            maps,
            pixels_per_step=STEP_ROWS * size,
            chunk=self.settings.batch_size,
        )
        areas = [area_under_curve(x, _shares_changed(size)) for x in (insertion, deletion)]
        scores = {
            "insertion": areas[0],
            "deletion": areas[1],
            "combined": areas[0] - areas[1],
            "ses": self._ses(method, maps, batch),
            **_shares(maps, batch.samples),
        }
        kept.maps.append(native)
        for name, values in scores.items():
            kept.scores.setdefault(name, []).append(values)
        for name, curve in (("insertion", insertion), ("deletion", deletion)):
            kept.curves.setdefault(name, []).append(curve)

    def _maps(self, method: SaliencyMethod, images: Tensor, targets: Tensor) -> Tensor:
        chunk = self.settings.batch_size
        if method == "rise":
            keep, masks = self.settings.rise.keep_probability, self._rise_masks(images.shape[-1])
            raw = rise_maps(self._probability, images, targets, masks, keep, chunk=chunk)
        else:
            raw = class_activation_maps(
                method, self.backbone, self.layer, images, targets, chunk=chunk
            )
        return scale_to_unit(raw)

    def _rise_masks(self, size: int) -> Tensor:
        if self._masks is None:
            masks = random_masks(self.settings.rise, size, self.settings.seed)
            self._masks = masks.to(self.device)
        return self._masks

    def _ses(self, method: SaliencyMethod, maps: Tensor, batch: _Batch) -> Tensor:
        of_views = enlarge(self._maps(method, batch.views, batch.targets), maps.shape[-1])
        moved = _transformed(maps[:, None], batch.crops)[:, 0]
        return saliency_equivariance_similarity(moved, of_views)

    def _probability(self, images: Tensor) -> Tensor:
        return self.backbone(images).softmax(1)


def _shares_changed(size: int) -> Tensor:
    return fractions(size * size, STEP_ROWS * size)


def _transformed(images: Tensor, crops: list[CropFlip]) -> Tensor:
    size = images.shape[-1]
    pairs = zip(images, crops, strict=True)
    return torch.stack([apply_crop_flip(image, crop, size) for image, crop in pairs])


def _shares(maps: Tensor, samples: list[Sample]) -> dict[str, Tensor]:
    """The scores that need masks, boxes or spurious regions, where the data set has them."""
    found: dict[str, Tensor] = {}
    masks = [s.mask for s in samples if s.mask is not None]
    if len(masks) == len(samples):
        found["sch"] = segmentation_content_heatmap(maps, torch.stack(masks).to(maps.device))
        found["mosu"] = multi_object_saliency_uniformity(maps, [s.boxes for s in samples])
    spurious = [s.spurious for s in samples if s.spurious is not None]
    if len(spurious) == len(samples):
        found["spurious_share"] = spurious_share(maps, torch.stack(spurious).to(maps.device))
    return found


def _batches(data: ImageData, settings: Saliency, device: torch.device) -> Iterator[_Batch]:
    mean, std = (torch.tensor(x, device=device)[:, None, None] for x in (data.mean, data.std))
    threads = 0 if device.type == "cpu" else min(MOST_READERS, len(os.sched_getaffinity(0)))
    start = 0
    for samples in sample_batches(data, settings.batch_size, threads):
        indices = range(start, start + len(samples))
        start = indices.stop
        pixels = torch.stack([sample.image for sample in samples]).to(device)
        images = (pixels.float() / 255 - mean) / std
        size = images.shape[-1]
        crops = [
            view_crop_flip(size, SES_SCALE, settings.seed, 0, index, view=2) for index in indices
        ]
        yield _Batch(
            samples,
            images,
            torch.tensor([sample.label for sample in samples], device=device),
            crops,
            _transformed(images, crops),
        )


def _evaluation(
    data: ImageData,
    settings: Saliency,
    logits: Tensor,
    collected: dict[SaliencyMethod, _Collected],
) -> Evaluation:
    labels = data.labels
    size = data[0].image.shape[-1]
    shares = _shares_changed(size)
    chosen = gallery_indices(labels, settings.gallery_images)
    samples = [data[index] for index in chosen]
    masks = [s.mask.numpy() for s in samples if s.mask is not None]
    blank = np.zeros((0, 3, size, size), dtype=np.uint8)
    return Evaluation(
        image_ids=[data.image_id(index) for index in range(len(data))],
        labels=labels.numpy(),
        logits=logits.numpy(),
        accuracy={
            f"top{k}": top_k_correct(logits, labels, min(k, logits.shape[1])).double().numpy()
            for k in (1, 5)
        },
        saliency={method: kept.record(shares) for method, kept in collected.items()},
        gallery_index=np.array(chosen, dtype=np.int64),
        gallery_images=np.stack([s.image.numpy() for s in samples]) if samples else blank,
        gallery_masks=np.stack(masks) if masks and len(masks) == len(samples) else None,
    )


def gallery_indices(labels: Tensor, count: int) -> list[int]:
    """The first image of each class, then the second, and so on, `count` in all."""
    seen: dict[int, int] = {}
    order: list[tuple[int, int, int]] = []
    for index, label in enumerate(labels.tolist()):
        seen[label] = seen.get(label, 0) + 1
        order.append((seen[label], label, index))
    return sorted(index for _, _, index in sorted(order)[:count])
