"""A user's own pictures: packed, trained on, and weights of others evaluated on them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lico.compose import compose_config
from lico.data.packed.read import read_header
from lico.models.classifier import SmallResNet
from lico.published import evaluate_published
from lico.results.reader import read_run
from lico.run import run
from tests.data.trees import encoded, picture

OWN = ["data.own.title=birds", "data.own.train=birds/train", "data.own.val=birds/val"]
SIZE = ["data.image_size=24", "model=small_resnet", "saliency.gallery_images=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    for number in range(16):
        split, name = ("train", "val")[number % 4 > 1], f"kind_{number % 2}"
        place = folder / "data" / "birds" / split / name
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.jpg").write_bytes(encoded(picture(40, 50, number)))
    done = subprocess.run(
        [sys.executable, "-m", "lico", "data", "own", *OWN],
        cwd=folder, capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "packed into data/birds.h5" in done.stdout
    return folder


def settings(folder: Path, *more: str) -> list[str]:
    return ["data=own", *OWN, *SIZE, f"data.root={folder}/data", *more]


def test_runs_give_the_same_bits_whatever_the_workers(folder: Path) -> None:
    logits: list[np.ndarray] = []
    birds = folder / "data" / "birds.h5"
    for workers in (0, 2):
        training = ["training.epochs=2", "training.batch_size=3", f"data.workers={workers}"]
        results = f"run.results={folder}/workers{workers}"
        config = compose_config(settings(folder, "method=cgc", results, *training))
        record = read_run(run(config))
        assert record.provenance["data_fingerprint"] == read_header(birds).fingerprint
        logits.append(record.evaluation.logits)
    np.testing.assert_array_equal(logits[0], logits[1])


def test_published_weights_are_evaluated_into_a_run_file(folder: Path) -> None:
    torch.manual_seed(0)
    state = SmallResNet(2).state_dict()
    lightning = {"state_dict": {f"image_model.{name}": each for name, each in state.items()}}
    torch.save(lightning, folder / "epoch=99.ckpt")
    config = compose_config(settings(folder, f"run.results={folder}/results"))
    path = evaluate_published(config, folder / "epoch=99.ckpt")
    assert path.parent == folder / "results" / "published" / "runs"
    assert path.name.startswith("epoch_99-")
    record = read_run(path)
    assert record.training == {}
    assert record.provenance["label_order"] == "data"
    assert set(record.evaluation.saliency["gradcam"].scores) >= {"insertion", "deletion", "ses"}
    before = path.stat().st_mtime_ns
    assert evaluate_published(config, folder / "epoch=99.ckpt") == path
    assert path.stat().st_mtime_ns == before
