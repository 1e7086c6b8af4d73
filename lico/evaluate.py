"""A finished classifier on all validation images: accuracy, maps, and how good the maps are."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lico.config import Saliency, SaliencyMethod
from lico.data.augment import CropFlip, apply_crop_flip, view_crop_flip
from lico.data.sample import ImageData, Sample
from lico.metrics.accuracy import top_k_correct
from lico.metrics.insertion_deletion import (
    area_under_curve,
    deletion_curve,
    fractions,
    insertion_curve,
)
from lico.metrics.mosu import multi_object_saliency_uniformity
from lico.metrics.sch import segmentation_content_heatmap, spurious_share
from lico.metrics.ses import saliency_equivariance_similarity
from lico.models.classifier import Classifier
from lico.results.format import Evaluation, SaliencyRecord
from lico.saliency.cam import class_activation_maps
from lico.saliency.rise import random_masks, rise_maps
from lico.saliency.scale import enlarge, scale_to_unit

SES_SCALE = (0.08, 1.0)  # of torchvision's RandomResizedCrop, as in the reproduction study's code
STEP_ROWS = 8  # insertion and deletion change so many rows' worth of pixels a step


@dataclass(frozen=True)
class _Batch:
    """Validation images and everything that is known of them."""

    indices: list[int]
    samples: list[Sample]
    images: Float[Tensor, "batch 3 size size"]
    targets: Tensor
    crops: list[CropFlip]


@dataclass
class _Collected:
    """What one saliency method has given so far, batch by batch."""

    maps: list[Tensor] = field(default_factory=list[Tensor])
    scores: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])
    curves: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])

    def record(self, shares: np.ndarray) -> SaliencyRecord:
        return SaliencyRecord(
            maps=torch.cat(self.maps).cpu().numpy(),
            scores={k: torch.cat(v).double().cpu().numpy() for k, v in self.scores.items()},
            curves={k: torch.cat(v).cpu().numpy() for k, v in self.curves.items()},
            fractions=shares,
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

    Maps are for the true class. Transformations for SES depend on the settings' seed and the
    image alone, so that models are compared on the same ones.

    Args:
        classifier: on `device`.
        data: the validation split, all images of one size.
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
    with _evaluation_mode(classifier), torch.no_grad():
        scorer = _Scorer(classifier, settings, device)
        for batch in _batches(data, settings, device):
            logits.append(scorer.logits(batch))
            done += len(batch.indices)
            for method, kept in collected.items():
                scorer.score(method, batch, kept)
                done += len(batch.indices)
                if on_progress:
                    on_progress(done, whole)
    return _evaluation(data, settings, torch.cat(logits).cpu(), collected)


class _Scorer:
    """One classifier's maps and scores, a batch at a time."""

    def __init__(self, classifier: Classifier, settings: Saliency, device: torch.device) -> None:
        self.backbone = classifier.backbone
        self.layer = classifier.layer
        self.settings = settings
        self.device = device
        self._masks: Tensor | None = None

    def logits(self, batch: _Batch) -> Tensor:
        logits = self.backbone(batch.images)
        if not torch.isfinite(logits).all():
            raise ValueError("the classifier's logits are not finite; its training has diverged")
        return logits

    def score(self, method: SaliencyMethod, batch: _Batch, kept: _Collected) -> None:
        """Add maps, scores and curves of one method on one batch."""
        native = self._maps(method, batch.images, batch.targets)
        size = batch.images.shape[-1]
        maps = enlarge(native, size)
        kept.maps.append(native)
        for name, curve in self._curves(maps, batch).items():
            kept.curves.setdefault(name, []).append(curve)
            shares = fractions(size * size, STEP_ROWS * size)
            area = area_under_curve(curve, shares)
            area[maps.flatten(1).amax(1) == 0] = torch.nan
            kept.scores.setdefault(name, []).append(area)
        areas = kept.scores
        areas.setdefault("combined", []).append(areas["insertion"][-1] - areas["deletion"][-1])
        areas.setdefault("ses", []).append(self._ses(method, maps, batch))
        for name, values in _shares(maps, batch.samples).items():
            areas.setdefault(name, []).append(values)

    def _maps(self, method: SaliencyMethod, images: Tensor, targets: Tensor) -> Tensor:
        if method == "rise":
            return scale_to_unit(self._rise(images, targets))
        raw = class_activation_maps(
            method, self.backbone, self.layer, images, targets, chunk=self.settings.batch_size
        )
        return scale_to_unit(raw)

    def _rise(self, images: Tensor, targets: Tensor) -> Tensor:
        rise = self.settings.rise
        if self._masks is None:
            masks = random_masks(rise, images.shape[-1], self.settings.seed)
            self._masks = masks.to(self.device)
        return rise_maps(
            self._probability,
            images,
            targets,
            self._masks,
            rise.keep_probability,
            chunk=self.settings.batch_size,
        )

    def _curves(self, maps: Tensor, batch: _Batch) -> dict[str, Tensor]:
        pixels, chunk = STEP_ROWS * batch.images.shape[-1], self.settings.batch_size
        return {
            name: curve(
                self._probability,
                batch.images,
                maps,
                batch.targets,
                pixels_per_step=pixels,
                chunk=chunk,
            )
            for name, curve in (("insertion", insertion_curve), ("deletion", deletion_curve))
        }

    def _ses(self, method: SaliencyMethod, maps: Tensor, batch: _Batch) -> Tensor:
        size = batch.images.shape[-1]
        views = _transformed(batch.images, batch.crops, size)
        of_views = enlarge(self._maps(method, views, batch.targets), size)
        moved = _transformed(maps[:, None], batch.crops, size)[:, 0]
        return saliency_equivariance_similarity(moved, of_views)

    def _probability(self, images: Tensor) -> Tensor:
        return self.backbone(images.contiguous(memory_format=torch.channels_last)).softmax(1)


def _transformed(images: Tensor, crops: list[CropFlip], size: int) -> Tensor:
    views = [apply_crop_flip(x, crop, size) for x, crop in zip(images, crops, strict=True)]
    return torch.stack(views).contiguous(memory_format=torch.channels_last)


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
    for start in range(0, len(data), settings.batch_size):
        indices = list(range(start, min(start + settings.batch_size, len(data))))
        samples = [data[index] for index in indices]
        pixels = torch.stack([s.image for s in samples]).to(
            device, memory_format=torch.channels_last
        )
        size = pixels.shape[-1]
        yield _Batch(
            indices,
            samples,
            (pixels.float() / 255 - mean) / std,
            torch.tensor([s.label for s in samples], device=device),
            [view_crop_flip(size, SES_SCALE, settings.seed, 0, index, view=2) for index in indices],
        )


@contextmanager
def _evaluation_mode(module: nn.Module) -> Generator[None]:
    """Evaluation mode inside; every submodule's own mode and torch's randomness after."""
    modes = [(each, each.training) for each in module.modules()]
    with torch.random.fork_rng():
        try:
            module.eval()
            yield
        finally:
            for each, training in modes:
                each.training = training


def _evaluation(
    data: ImageData,
    settings: Saliency,
    logits: Tensor,
    collected: dict[SaliencyMethod, _Collected],
) -> Evaluation:
    labels = data.labels
    size = data[0].image.shape[-1]
    shares = fractions(size * size, STEP_ROWS * size).numpy()
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
