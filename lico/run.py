"""One run: train, evaluate, write one file. The only composer of the parts."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from lightning_fabric import Fabric
from safetensors.torch import save

from lico.atomic import write_atomically
from lico.build import build_method
from lico.config import Config
from lico.data.batches import training_batches
from lico.data.registry import data_record, load_data
from lico.data.sample import ImageData
from lico.errors import Interrupted
from lico.evaluate import evaluate
from lico.models.classifier import Classifier, build_classifier
from lico.models.shared_norm import normalise_alone, normalise_over_all_processes
from lico.provenance import device_name, provenance
from lico.randomness import be_deterministic, seed_globally
from lico.results.claim import Claim
from lico.results.format import Cost, RunRecord
from lico.results.layout import (
    checkpoint_file,
    claim_file,
    require_writable,
    run_file,
    tensorboard_folder,
    weights_file,
)
from lico.results.reader import is_finished
from lico.results.writer import write_run
from lico.text.captions import captions_of
from lico.training.checkpoint import Progress
from lico.training.heap import keep_freed_memory
from lico.training.loop import Hooks, Place, train
from lico.training.processes import make_fabric, other_processes, part_from_others

OnProgress = Callable[[str, int, int], None]
OnEpoch = Callable[[int, dict[str, float]], None]


def run(
    config: Config,
    on_progress: OnProgress | None = None,
    *,
    on_epoch: OnEpoch | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Path:
    """Train and evaluate what the configuration describes; a finished run is left alone.

    An interrupted run goes on from its last checkpoint. Seed, configuration and machine decide
    every bit of the result. With several devices or nodes each process calls this; the first of
    them writes.

    Args:
        config: the run, whole.
        on_progress: called with the phase ("train" or "evaluate"), what is done, and of how much.
        on_epoch: called with the epoch, from 0, and its scalars.
        should_stop: asked after each step; True ends the run with a checkpoint.

    Returns:
        The run's HDF5 file.

    Raises:
        DataMissingError, TextWeightsError, ResultsError: before any work, naming the remedy.
        Interrupted: after `should_stop`; the same call goes on.
        SupersededError: if another process has taken the run over.
        NonFiniteLossError: if training diverges.
    """
    target = run_file(config)
    if is_finished(target, config):
        return target
    require_writable(target.parent)
    hooks = _Hooks(
        on_progress or (lambda _phase, _done, _whole: None),
        on_epoch or (lambda _epoch, _scalars: None),
        should_stop or (lambda: False),
    )
    torch.set_num_threads(config.run.threads)
    be_deterministic()
    with other_processes(config.run, run, config):
        _run(config, target, hooks)
    return target


@dataclass(frozen=True)
class _Hooks:
    on_progress: OnProgress
    on_epoch: OnEpoch
    should_stop: Callable[[], bool]

    def evaluated(self, part: int, whole: int) -> None:
        if self.should_stop():
            raise Interrupted("stopped while evaluating; training is done and saved")
        self.on_progress("evaluate", part, whole)


def _run(config: Config, target: Path, hooks: _Hooks) -> None:
    fabric = make_fabric(config.run, config.training.precision)
    if fabric.device.type == "cpu":
        keep_freed_memory()
    claim = Claim.take(claim_file(config)) if fabric.is_global_zero else None
    train_data, val_data = load_data(config.data, "train"), load_data(config.data, "val")
    classifier = _classifier(config, len(train_data.class_names))
    done = _train(config, fabric, classifier, train_data, claim, hooks)
    part_from_others()
    if claim is None:
        return
    normalise_alone(classifier)
    started = time.perf_counter()
    evaluation = evaluate(
        classifier,
        val_data,
        config.saliency,
        device=fabric.device,
        on_progress=hooks.evaluated,
    )
    cost = _cost(done, fabric.device, time.perf_counter() - started)
    claim.check()
    _save_weights(classifier, weights_file(config))
    made = provenance(fabric.device) | data_record(train_data)
    record = RunRecord(config, made, train_data.class_names, done.curve, evaluation, cost)
    write_run(record, target)
    checkpoint_file(config).unlink(missing_ok=True)


def _classifier(config: Config, classes: int) -> Classifier:
    seed_globally("classifier", config.seed)
    classifier = build_classifier(config.model, classes)
    return classifier.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _train(
    config: Config,
    fabric: Fabric,
    classifier: Classifier,
    data: ImageData,
    claim: Claim | None,
    hooks: _Hooks,
) -> Progress:
    loader = training_batches(
        data,
        config.data,
        batch_size=config.training.batch_size,
        seed=config.seed,
        paired_views=config.method.name == "cgc",
        device=fabric.device,
        rank=fabric.global_rank,
        world_size=fabric.world_size,
        processes_here=config.run.devices,
    )
    guard = claim.check if claim else lambda: None
    captions = captions_of(config.prompt, data) if config.method.name == "lico" else None
    method = build_method(config, classifier, data.class_names, captions)
    if fabric.world_size > 1:
        normalise_over_all_processes(method, fabric.device)
    return train(
        fabric,
        method,
        loader,
        config.training,
        Place(checkpoint_file(config), tensorboard_folder(config), guard),
        country=config.run.country,
        checkpoint_minutes=config.run.checkpoint_minutes,
        hooks=Hooks(
            on_step=lambda part, whole: hooks.on_progress("train", part, whole),
            on_epoch=hooks.on_epoch,
            should_stop=hooks.should_stop,
        ),
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
