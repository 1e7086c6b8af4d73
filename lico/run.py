"""One run: train, evaluate, write one file. The only composer of the parts."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from safetensors.torch import save

from lico.atomic import write_atomically
from lico.build import build_method
from lico.config import Config, Runtime
from lico.data.loading import BatchLoader
from lico.data.registry import load_data
from lico.data.sample import ImageData
from lico.evaluate import evaluate
from lico.models.classifier import Classifier, build_classifier
from lico.provenance import device_name, provenance
from lico.randomness import be_deterministic, seed_globally
from lico.results.format import Cost, RunRecord
from lico.results.layout import (
    checkpoint_file,
    require_writable,
    run_file,
    tensorboard_folder,
    weights_file,
)
from lico.results.reader import is_finished
from lico.results.writer import write_run
from lico.training.checkpoint import Progress
from lico.training.loop import Place, train

OnProgress = Callable[[str, int, int], None]


def run(config: Config, on_progress: OnProgress | None = None) -> Path:
    """Train and evaluate what the configuration describes; a finished run is left alone.

    An interrupted run goes on from its last checkpoint. Seed, configuration and machine decide
    every bit of the result.

    Args:
        config: the run, whole.
        on_progress: called with the phase ("train" or "evaluate"), what is done, and of how much.

    Returns:
        The run's HDF5 file.

    Raises:
        DataMissingError, TextWeightsError, ResultsError: before any work, naming the remedy.
        NonFiniteLossError: if training diverges.
    """
    target = run_file(config)
    if is_finished(target, config):
        return target
    require_writable(target.parent)
    report = on_progress or (lambda _phase, _done, _total: None)
    fabric = _fabric(config)
    train_data, val_data = load_data(config.data, "train"), load_data(config.data, "val")
    classifier = _classifier(config, len(train_data.class_names))
    done = _train(config, fabric, classifier, train_data, report)
    started = time.perf_counter()
    evaluation = evaluate(
        classifier,
        val_data,
        config.saliency,
        device=fabric.device,
        on_progress=lambda part, whole: report("evaluate", part, whole),
    )
    cost = _cost(done, fabric.device, time.perf_counter() - started)
    _save_weights(classifier, weights_file(config))
    record = RunRecord(
        config, provenance(fabric.device), train_data.class_names, done.curve, evaluation, cost
    )
    write_run(record, target)
    checkpoint_file(config).unlink(missing_ok=True)
    return target


def _fabric(config: Config) -> Fabric:
    torch.set_num_threads(config.run.threads)
    be_deterministic()
    device = choose_device(config.run)
    precision = config.training.precision
    if precision == "auto":
        precision = "16-mixed" if device.type == "cuda" else "32"
    return Fabric(
        accelerator=device.type,
        devices=1,
        precision="32-true" if precision == "32" else precision,
        plugins=[LightningEnvironment()],  # one process, whatever Slurm is on the machine
    )


def choose_device(settings: Runtime) -> torch.device:
    """The device that the settings name; "auto" takes a GPU if there is one.

    Raises:
        ValueError: if a GPU is asked for and there is none.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("run.device=cuda, but this machine has no CUDA device; use auto or cpu")
    cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if cuda else "cpu")


def _classifier(config: Config, classes: int) -> Classifier:
    seed_globally("classifier", config.seed)
    classifier = build_classifier(config.model, classes)
    return classifier.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _train(
    config: Config,
    fabric: Fabric,
    classifier: Classifier,
    data: ImageData,
    report: OnProgress,
) -> Progress:
    low, high = config.data.crop_scale
    loader = BatchLoader(
        data,
        size=config.data.image_size,
        batch_size=config.training.batch_size,
        seed=config.seed,
        augment=config.data.augmentation == "crop_flip",
        crop_scale=(low, high),
        paired_views=config.method.name == "cgc",
        workers=config.data.workers,
        device=fabric.device,
    )
    return train(
        fabric,
        build_method(config, classifier, data.class_names),
        loader,
        config.training,
        Place(checkpoint_file(config), tensorboard_folder(config)),
        country=config.run.country,
        on_progress=lambda part, whole: report("train", part, whole),
    )


def _cost(done: Progress, device: torch.device, evaluation_seconds: float) -> Cost:
    epochs = done.curve.get("seconds", [])
    return Cost(
        device=device_name(device),
        training_seconds=done.seconds,
        seconds_per_epoch=median(epochs) if epochs else math.nan,
        evaluation_seconds=evaluation_seconds,
        peak_memory_bytes=done.peak_memory_bytes,
        energy_kwh=done.energy_kwh,
        co2_kg=done.co2_kg,
    )


def _save_weights(classifier: Classifier, path: Path) -> None:
    state = classifier.backbone.state_dict()
    write_atomically(path, save({name: each.cpu().contiguous() for name, each in state.items()}))
