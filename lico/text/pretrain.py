"""Pre-training of the embedded text encoder: CLIP's contrast of the scenes with their captions."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import open_clip  # pyright: ignore[reportMissingTypeStubs]
import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 (torch's own name)

from lico import config
from lico.atomic import write_atomically
from lico.data.scenes import SceneData
from lico.randomness import be_deterministic, generator, torch_generator
from lico.text.loading import TextWeightsError
from lico.text.scenes_clip import (
    IMAGE_SIZE,
    ScenesClip,
    load_scenes_clip,
    normalised,
    zero_shot_accuracy,
)
from lico.text.sentences import sentence, tokens_in_use

LARGEST_SCALE = math.log(100)  # as in CLIP


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """How the embedded CLIP is trained; all of it decides the weights, to the last bit.

    Attributes:
        images: training scenes; their textures say nothing about the class.
        epochs: over them.
        batch_size: pairs that are contrasted.
        learning_rate: the highest, of AdamW; linear rise over `warmup`, then a half cosine.
        weight_decay: of matrices, not of gains, biases and the temperature.
        warmup: share of the steps.
        seed: of scenes, sentences, order and initial weights.
        threads: of the CPU; another number sums in another order.
    """

    images: int = 6000
    epochs: int = 12
    batch_size: int = 96
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: float = 0.1
    seed: int = 2024
    threads: int = 1

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: if a number is out of its range.
        """
        for name in ("images", "epochs", "batch_size", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.batch_size > self.images:
            raise ValueError(f"batch_size={self.batch_size} is more than images={self.images}")

    @property
    def batches(self) -> int:
        """Whole batches of an epoch; the rest of its pictures wait for the next."""
        return self.images // self.batch_size

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * self.batches


def pretrain(
    settings: Pretraining, out: Path, progress: Callable[[int, int], None] = lambda _d, _w: None
) -> dict[str, float]:
    """Train the embedded CLIP and write its weights.

    Args:
        settings: size and seed of the training.
        out: safetensors file to write, in one step at the end.
        progress: told (steps done, all steps).

    Returns:
        `loss` of the last step, `zero_shot_accuracy` on the validation scenes, `seconds`,
        `megabytes` of the file.

    Raises:
        TextWeightsError: if the folder of `out` does not exist.
        ResultsError: if `out` cannot be written.
        ValueError: if the loss is not finite.
    """
    if not out.parent.is_dir():
        raise TextWeightsError(f"{out.parent} is no folder; create it or choose another --out")
    start, threads = perf_counter(), torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        model, loss = _train(settings, progress)
        accuracy = zero_shot_accuracy(model.eval(), validation_scenes())
    finally:
        torch.set_num_threads(threads)
    content = save({name: value.contiguous() for name, value in model.state().items()})
    write_atomically(out, content)
    return {
        "loss": loss,
        "zero_shot_accuracy": accuracy,
        "seconds": perf_counter() - start,
        "megabytes": len(content) / 1e6,
    }


def run_pretraining(out: Path, check_only: bool) -> None:
    """Pre-train with the default settings, or only measure the weights; prints the result.

    Args:
        out: the weights file to write or, if `check_only`, to read.
        check_only: evaluate and change nothing.

    Raises:
        TextWeightsError: if the file cannot be read, or its folder does not exist.
        ResultsError: if it cannot be written.
    """
    console = Console(highlight=False)
    if check_only:
        accuracy = zero_shot_accuracy(load_scenes_clip(out), validation_scenes())
        console.print(f"zero-shot accuracy {accuracy:.1%}: {out}")
        return
    be_deterministic()
    columns = (SpinnerColumn(), *Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("pre-training", total=None)
        figures = pretrain(
            Pretraining(), out, lambda done, whole: bars.update(task, completed=done, total=whole)
        )
    console.print(
        f"zero-shot accuracy {figures['zero_shot_accuracy']:.1%}, "
        f"{figures['seconds']:.0f} s, {figures['megabytes']:.1f} MB: {out}"
    )


def validation_scenes() -> SceneData:
    """Where zero-shot accuracy is measured: the default data set's validation split."""
    return SceneData(config.Scenes(), IMAGE_SIZE, "val")


def contrastive_loss(
    pictures: Float[Tensor, "batch width"],
    texts: Float[Tensor, "batch width"],
    log_scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """L = ½ (CE(S, 1 … B) + CE(Sᵀ, 1 … B)), S = exp(t) · pictures · textsᵀ.

    Args:
        pictures: unit vectors.
        texts: unit vectors of the same pairs.
        log_scale: t.

    Source: Radford et al., CLIP (ICML 2021), figure 3.
    """
    similarity = log_scale.exp() * pictures @ texts.T
    pairs = torch.arange(len(pictures))
    return (F.cross_entropy(similarity, pairs) + F.cross_entropy(similarity.T, pairs)) / 2


def _train(settings: Pretraining, progress: Callable[[int, int], None]) -> tuple[ScenesClip, float]:
    scenes = config.Scenes(train_images=settings.images, seed=settings.seed, spurious_correlation=0)
    data = SceneData(scenes, IMAGE_SIZE, "train")
    model = _fresh_model(settings.seed)
    optimizer = _optimizer(model.clip, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings))
    loss = torch.zeros(())
    for epoch in range(settings.epochs):
        random = torch_generator("pretrain", settings.seed, epoch)
        order = torch.randperm(settings.images, generator=random)
        for batch, chosen in enumerate(order.split(settings.batch_size)[: settings.batches]):
            loss = _loss(model, data, [int(i) for i in chosen], (settings.seed, epoch))
            if not torch.isfinite(loss):
                raise ValueError(
                    f"the contrastive loss is {loss.item()} in epoch {epoch}, batch {batch}; lower "
                    f"learning_rate={settings.learning_rate}"
                )
            optimizer.zero_grad()
            loss.backward()  # pyright: ignore[reportUnknownMemberType]
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.log_scale.clamp_(0, LARGEST_SCALE)
            progress(epoch * settings.batches + batch + 1, settings.steps)
    return model, loss.item()


def _fresh_model(seed: int) -> ScenesClip:
    model = ScenesClip(tokens_in_use(open_clip.SimpleTokenizer()), seed)
    return model.to(memory_format=torch.channels_last).train()


def _loss(
    model: ScenesClip, data: SceneData, chosen: list[int], key: tuple[int, int]
) -> Float[Tensor, ""]:
    """Contrast of some pictures, at times mirrored, with a sentence about each."""
    images: list[Tensor] = []
    texts: list[str] = []
    for index in chosen:
        random = generator("pretrain", *key, index)
        sample = data[index]
        images.append(sample.image.flip(2) if random.random() < 0.5 else sample.image)
        texts.append(sentence(sample, random))
    pictures = model.image_features(normalised(torch.stack(images), data))
    return contrastive_loss(pictures, model.text_features(texts), model.log_scale)


def _optimizer(clip: nn.Module, settings: Pretraining) -> torch.optim.Optimizer:
    matrices = [p for p in clip.parameters() if p.ndim >= 2]
    others = [p for p in clip.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))


def _rate(step: int, settings: Pretraining) -> float:
    """Share of the highest learning rate."""
    warm = max(1, round(settings.warmup * settings.steps))
    if step < warm:
        return (step + 1) / warm
    return (1 + math.cos(math.pi * (step - warm) / max(1, settings.steps - warm))) / 2
