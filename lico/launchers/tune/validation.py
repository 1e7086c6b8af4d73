"""The classifier of a run that is under way, on validation images, from its checkpoint.

Training is not touched: the checkpoint is read from its file into another classifier, and the
global random generators are as before.
"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lico.config import Config, Data, Saliency
from lico.data.registry import load_data
from lico.data.sample import ImageData, Sample
from lico.evaluate import evaluate, gallery_indices
from lico.models.classifier import Classifier, build_classifier
from lico.results.layout import checkpoint_file
from lico.saliency.frozen import frozen_copy
from lico.training.meters import reset_peak_memory
from lico.training.processes import choose_device

CLASSIFIER = "classifier."  # where every training method keeps it


def read_checkpoint(config: Config, epoch: int) -> dict[str, Any] | None:
    """The run's checkpoint (`lico.training.checkpoint`), or None if it is not of this moment.

    Args:
        config: the run.
        epoch: epochs done.
    """
    state: dict[str, Any] = torch.load(
        checkpoint_file(config), map_location="cpu", weights_only=True
    )
    return state if state["progress"]["epoch"] == epoch else None


class Validation:
    """Scores of one run after its epochs."""

    def __init__(self, config: Config, images: int) -> None:
        """Choose the images; nothing is loaded yet.

        Args:
            config: the run.
            images: at most so many, as many of each class as can be.
        """
        self.config = config
        self.images = images
        self.device = choose_device(config.run)

    @property
    def _data(self) -> "_Subset":
        return _subset(self.config.data.model_dump_json(), self.images)

    def scores(self, checkpoint: dict[str, Any], metric: str | None = None) -> dict[str, float]:
        """Top-1 accuracy, and a metric of Grad-CAM maps if one is named.

        Args:
            checkpoint: of the run, as `read_checkpoint` gives it.
            metric: a name of `lico.results.format.METRICS`, averaged where it is finite.

        Returns:
            `top1` and the metric; nothing if no image is wanted.

        Raises:
            ValueError: if the data set cannot have the metric.
        """
        if not self.images:
            return {}
        self._classifier.load_state_dict(
            {
                name.removeprefix(CLASSIFIER): value
                for name, value in checkpoint["module"].items()
                if name.startswith(CLASSIFIER)
            }
        )
        with _undisturbed(self.device), torch.no_grad():
            found = {"top1": self._top1()} if metric is None else self._with(metric)
        reset_peak_memory(self.device)  # what this took is not the run's
        return found

    @cached_property
    def _classifier(self) -> Classifier:
        with _undisturbed(self.device):
            built = build_classifier(self.config.model, len(self._data.class_names))
        return built.to(self.device)

    def _top1(self) -> float:
        network = frozen_copy(self._classifier.backbone)
        mean, std = (
            torch.tensor(values, device=self.device)[:, None, None]
            for values in (self._data.mean, self._data.std)
        )
        predicted = [
            network((part.to(self.device).float() / 255 - mean) / std).argmax(1).cpu()
            for part in self._data.pixels.split(self.config.saliency.batch_size)
        ]
        return float((torch.cat(predicted) == self._data.labels).double().mean())

    def _with(self, metric: str) -> dict[str, float]:
        settings = Saliency(
            batch_size=self.config.saliency.batch_size,
            gallery_images=0,
            seed=self.config.saliency.seed,
        )
        found = evaluate(self._classifier, self._data, settings, device=self.device)
        scores = found.saliency["gradcam"].scores
        if metric not in scores:
            raise ValueError(
                f"search.metric={metric}: {self._data.name} can have {', '.join(scores)} alone"
            )
        finite = scores[metric][np.isfinite(scores[metric])]
        return {
            "top1": float(found.accuracy["top1"].mean()),
            metric: float(finite.mean()) if finite.size else float("nan"),
        }


class _Subset:
    """The first images of each class, at most so many in all."""

    def __init__(self, data: ImageData, images: int) -> None:
        self.data = data
        self.name = data.name
        self.class_names = data.class_names
        self.mean, self.std = data.mean, data.std
        self.chosen = gallery_indices(data.labels, images)

    @property
    def labels(self) -> Tensor:
        return self.data.labels[self.chosen]

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Sample:
        return self.data[self.chosen[index]]

    def image_id(self, index: int) -> str:
        return self.data.image_id(self.chosen[index])

    @cached_property
    def pixels(self) -> Tensor:
        return torch.stack([self[index].image for index in range(len(self))])


@lru_cache(maxsize=1)
def _subset(settings: str, images: int) -> _Subset:
    """Kept from one trial to the next of the same worker, which mostly have the same data."""
    return _Subset(load_data(Data.model_validate_json(settings), "val"), images)


@contextmanager
def _undisturbed(device: torch.device) -> Generator[None]:
    """Leave torch's global generators as they were."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        yield
