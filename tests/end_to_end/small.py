"""Overrides that make a run take a second, and an experiment of four of them."""

from pathlib import Path

TINY = [
    "data.image_size=24",
    "data.scenes.train_images=24",
    "data.scenes.val_images=24",
    "training.epochs=2",
    "training.batch_size=8",
    "training.learning_rate=0.05",
    "saliency.batch_size=24",
    "saliency.rise.masks=8",
    "saliency.gallery_images=4",
]

EXPERIMENT = """
title: Four small runs
claim: That the parts fit together.
base: [text=embedded]
axes:
  system:
    baseline: [method=ce]
    lico: [method=lico]
seeds: [1, 2]
tables: [table2, table4, readings, appendix_d]
"""


def write_experiment(folder: Path) -> str:
    path = folder / "small.yaml"
    path.write_text(EXPERIMENT)
    return str(path)
