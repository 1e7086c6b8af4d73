"""Run files with plausible random numbers, made through the real writer."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from lico.config import Config, SaliencyMethod
from lico.results.format import Cost, Evaluation, RunRecord, SaliencyRecord
from lico.results.writer import write_run

CLASSES = [
    "circle", "square", "triangle", "star", "cross", "ring",
    "arrow", "heart", "moon", "drop", "gear", "leaf",
]  # fmt: skip
IMAGES = 40
GALLERY = 6
SIDE = 64
EPOCHS = 8
METHODS: list[str] = list(get_args(SaliencyMethod))

OVERRIDES: dict[str, dict[str, Any]] = {
    "baseline": {"method": {"name": "ce"}},
    "mm": {"method": {"name": "lico", "beta": 0.0}},
    "ot": {"method": {"name": "lico", "alpha": 0.0}},
    "lico": {"method": {"name": "lico"}},
    "cgc": {"method": {"name": "cgc"}},
    "lico_class_specific": {"prompt": {"class_specific": True}},
    "lico_label_front": {"prompt": {"label_position": "front"}},
    "lico_authors": {"reading": {"name": "authors"}},
    "lico_converged": {"reading": {"name": "converged"}},
    "adversarial": {"method": {"name": "ce"}, "data": {"marker": {"class_name": "star"}}},
}
SYSTEMS = list(OVERRIDES)


def config_of(system: str, seed: int, **more: Any) -> Config:
    """A configuration like one of the small study."""
    values: dict[str, Any] = {
        "experiment": "demo",
        "axes": {"system": system, "seed": str(seed)},
        "seed": seed,
        "model": {"name": "small_resnet"},
        "saliency": {"methods": METHODS, "gallery_images": GALLERY},
        "training": {"epochs": EPOCHS},
    }
    return Config.model_validate(values | OVERRIDES[system] | more)


def record_of(config: Config) -> RunRecord:
    """A whole run; the same configuration gives the same numbers."""
    system = config.axes.get("system", "baseline")
    random = np.random.default_rng([config.seed, SYSTEMS.index(system)])
    return RunRecord(
        config=config,
        provenance=provenance_of(config.seed),
        class_names=CLASSES,
        training=_training(config, random),
        evaluation=_evaluation(config, random),
        cost=Cost(
            device="cpu",
            training_seconds=30 * random.uniform(1, 1.2),
            seconds_per_epoch=4 * random.uniform(1, 1.2) * (1.5 if "lico" in system else 1),
            evaluation_seconds=9.5,
            peak_memory_bytes=7e8 * random.uniform(1, 1.1),
            energy_kwh=math.nan if system == "cgc" else 4e-4 * random.uniform(1, 1.2),
            co2_kg=math.nan if system == "cgc" else 1.6e-4,
        ),
    )


def provenance_of(seed: int) -> dict[str, Any]:
    """As `lico.provenance` leaves it."""
    return {
        "time": f"2025-01-0{seed}T12:00:00+00:00",
        "command": "lico study demo",
        "python": "3.11.7",
        "platform": "Linux",
        "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "modified": False,
        "hardware": {"host": "node", "device": "cpu", "cpu": "A processor", "cores": 2},
    }


def write_synthetic(folder: Path, systems: list[str] = SYSTEMS, seeds: int = 3) -> list[Config]:
    """Fill `<folder>/runs`; the configurations of the whole study."""
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    configs = [config_of(system, seed) for seed in range(1, seeds + 1) for system in systems]
    for config in configs:
        write_run(record_of(config), folder / "runs" / f"{config.run_id()}.h5")
    return configs


def with_scores(record: RunRecord, method: str, **scores: Any) -> RunRecord:
    """The record with some per-image scores replaced."""
    part = record.evaluation.saliency[method]
    changed = {name: np.asarray(values, np.float64) for name, values in scores.items()}
    saliency = record.evaluation.saliency | {method: replace(part, scores=part.scores | changed)}
    return replace(record, evaluation=replace(record.evaluation, saliency=saliency))


def _training(config: Config, random: np.random.Generator) -> dict[str, list[float]]:
    steps = np.arange(config.training.epochs)
    falling = 2.5 * np.exp(-steps / 3) + 0.1 * random.random(len(steps))
    curves = {"loss": falling * 1.4, "cross_entropy": falling, "train_top1": 1 - falling / 3}
    if config.method.name == "lico" and config.method.alpha:
        curves["manifold_matching"] = falling / 10
        curves["temperature"] = np.maximum(2.66 - steps * 0.7, 0)
    if config.method.name == "lico" and config.method.beta:
        curves["optimal_transport"] = 1.6 + falling / 20
        curves["marginal_error"] = 0.7 + 0.05 * random.random(len(steps))
        curves["sinkhorn_iterations"] = np.full(len(steps), 61.0)
    if config.method.name == "cgc":
        curves["contrast"] = falling
    curves["seconds"] = np.full(len(steps), 4.0)
    return {name: values.tolist() for name, values in curves.items()}


def _evaluation(config: Config, random: np.random.Generator) -> Evaluation:
    labels = np.arange(IMAGES, dtype=np.int64) % len(CLASSES)
    logits = random.normal(size=(IMAGES, len(CLASSES))).astype(np.float32)
    logits[np.arange(IMAGES), labels] += 1.5
    ranks = (logits > logits[np.arange(IMAGES), labels][:, None]).sum(axis=1)
    pictures, masks = _pictures(config.data.marker.class_name is not None)
    return Evaluation(
        image_ids=[f"scene-{index:04d}" for index in range(IMAGES)],
        labels=labels,
        logits=logits,
        accuracy={"top1": (ranks < 1).astype(np.float64), "top5": (ranks < 5).astype(np.float64)},
        saliency={name: _saliency(name, random) for name in config.saliency.methods},
        gallery_index=np.arange(GALLERY, dtype=np.int64),
        gallery_images=pictures,
        gallery_masks=masks,
    )


def _area(curves: np.ndarray) -> np.ndarray:
    """Trapezoid over equal steps from 0 to 1."""
    return (curves[:, 1:] + curves[:, :-1]).mean(axis=1) / 2


def _pictures(marked: bool) -> tuple[np.ndarray, np.ndarray]:
    """A disc on a striped ground for each gallery image, the same in every run."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    pictures, masks = [], []
    for _ in range(GALLERY):
        centre, radius = random.integers(18, 46, 2), random.integers(8, 16)
        mask = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        stripes = 120 + 60 * np.sin((x + y * random.random()) / random.uniform(1, 4))
        colours = random.integers(40, 255, 3)
        picture = np.where(mask, colours[:, None, None], stripes[None] * [[[0.8]], [[0.9]], [[1]]])
        if marked:
            picture[:, :3, :3] = np.array([255, 0, 0])[:, None, None]
        pictures.append(picture.astype(np.uint8))
        masks.append(mask.astype(np.uint8))
    return np.stack(pictures), np.stack(masks)


def _saliency(name: str, random: np.random.Generator) -> SaliencyRecord:
    side = 16 if name == "rise" else 8
    y, x = np.mgrid[:side, :side] / side
    centres = random.random((IMAGES, 2, 1, 1))
    maps = np.exp(-8 * ((y - centres[:, 0]) ** 2 + (x - centres[:, 1]) ** 2))
    fractions = np.linspace(0, 1, 29)
    rising = fractions[None] ** random.uniform(0.3, 0.6, (IMAGES, 1))
    falling = (1 - fractions[None]) ** random.uniform(2, 4, (IMAGES, 1))
    curves = {"insertion": rising.astype(np.float32), "deletion": falling.astype(np.float32)}
    insertion, deletion = _area(rising), _area(falling)
    mosu = np.where(np.arange(IMAGES) % 3 == 0, random.uniform(0.1, 0.4, IMAGES), np.nan)
    mosu[3] = np.inf
    scores: dict[str, np.ndarray] = {
        "insertion": insertion,
        "deletion": deletion,
        "combined": insertion - deletion,
        "ses": random.uniform(0.8, 1, IMAGES),
        "sch": random.uniform(0.2, 0.6, IMAGES),
        "mosu": mosu,
        "spurious_share": random.uniform(0.1, 0.5, IMAGES),
    }
    return SaliencyRecord(maps.astype(np.float32), scores, curves, fractions)
