"""Training steps to measure: real shapes, made-up pictures, random weights of a real text tower."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import open_clip
import torch
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
from torch import Tensor

from lico.benchmarks.published import PublishedWay
from lico.build import build_method
from lico.compose import compose_config
from lico.config import Config
from lico.data.loading import Batch
from lico.methods.lico import LanguageImageConsistency
from lico.methods.step import TrainingMethod
from lico.models.classifier import build_classifier
from lico.text.encoder import TextEncoder
from lico.text.labels import tokenize_labels

TOWER = "ViT-B-32-quickgelu"
LONGEST_NAME = 3  # tokens, as in ImageNet-S50 and CIFAR-100


@dataclass(frozen=True)
class Case:
    """Sizes of a training step.

    Attributes:
        image_size: side in pixels.
        batch: images.
        classes: how many there are.
        model: the classifier.
        context: trainable vectors of a prompt.
    """

    image_size: int = 224
    batch: int = 32
    classes: int = 50
    model: str = "resnet18"
    context: int = 12

    @property
    def name(self) -> str:
        """For the name of a figure."""
        return f"{self.model}-{self.image_size}px-batch{self.batch}-classes{self.classes}"

    def config(self, *overrides: str) -> Config:
        """A configuration with these sizes."""
        return compose_config(
            [
                f"data.image_size={self.image_size}",
                f"model={self.model}",
                f"prompt.context_length={self.context}",
                *overrides,
            ]
        )


def random_encoder() -> TextEncoder:
    """CLIP's text tower of ViT-B/32 with random weights; how fast it is depends on none."""
    logging.disable(logging.WARNING)  # open_clip warns of random weights
    try:
        model = open_clip.create_model(TOWER, load_weights=False)
    finally:
        logging.disable(logging.NOTSET)
    del model.visual
    vocabulary = len(model.get_submodule("token_embedding").get_parameter("weight"))
    known = torch.ones(vocabulary, dtype=torch.bool)
    return TextEncoder(model, open_clip.SimpleTokenizer(), known)


def class_names(count: int) -> list[str]:
    """ImageNet's names of up to three tokens, as many times as it takes."""
    tokenizer = open_clip.SimpleTokenizer()
    short = [n for n in IMAGENET_CLASSNAMES if len(tokenizer.encode(n)) <= LONGEST_NAME]
    return [short[index % len(short)] for index in range(count)]


def batch_of(case: Case, device: torch.device) -> Batch:
    """Normal noise for pictures, classes drawn at random."""
    random = torch.Generator().manual_seed(0)
    size = case.image_size
    images = torch.randn(case.batch, 3, size, size, generator=random)
    labels = torch.randint(0, case.classes, (case.batch,), generator=random)
    return Batch(
        images.to(device, memory_format=torch.channels_last),
        labels.to(device),
    )


def method_of(config: Config, case: Case, device: torch.device) -> TrainingMethod:
    """The method of a configuration, channels last, as a run has it."""
    torch.manual_seed(0)
    classifier = build_classifier(config.model, case.classes).to(memory_format=torch.channels_last)
    names, encoder = [""] * case.classes, None
    if config.method.name == "lico":
        names, encoder = class_names(case.classes), random_encoder()
    method = build_method(config, classifier, names, encoder=encoder)
    return method.to(device).train()


def published_way(case: Case, device: torch.device) -> PublishedWay:
    """The same step of `repro` as published."""
    config, names = case.config("reading=repro"), class_names(case.classes)
    method = cast("LanguageImageConsistency", method_of(config, case, device))
    encoder = random_encoder()
    tokens = tokenize_labels(names, encoder, case.context).tokens
    return PublishedWay(method, encoder, tokens).to(device).train()


def training_step(method: TrainingMethod, batch: Batch) -> Callable[[], Tensor]:
    """One step of SGD, as the training loop makes it; on a GPU in mixed precision."""
    device = batch.images.device.type
    optimizer = torch.optim.SGD(
        [p for p in method.parameters() if p.requires_grad], lr=1e-4, momentum=0.9
    )
    made = 0

    def step() -> Tensor:
        nonlocal made
        with torch.autocast(device, torch.float16, enabled=device == "cuda"):
            result = method(batch, made)
        result.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()
        made += 1
        return result.loss.detach()

    return step
