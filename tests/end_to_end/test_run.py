"""One run, whole: its file, its weights, its determinism, its resumption."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torchvision.models import resnet18

from lico.compose import compose_config
from lico.config import Config
from lico.data.registry import load_data
from lico.results.layout import checkpoint_file, run_file, tensorboard_folder, weights_file
from lico.results.reader import check_run, read_run
from lico.run import _classifier, run
from tests.end_to_end.small import TINY


def config_in(folder: Path, *overrides: str) -> Config:
    return compose_config([*TINY, f"run.results='{folder}'", *overrides])


METHODS = [
    ["method=ce"],
    ["method=lico"],
    ["method=lico", "reading=authors"],
    ["method=lico", "reading=converged"],
    ["method=lico", "prompt=class_specific"],
    ["method=lico", "prompt=label_front"],
    ["method=cgc"],
]


@pytest.mark.parametrize("overrides", METHODS, ids=" ".join)
def test_same_seed_gives_the_same_bits(tmp_path: Path, overrides: list[str]) -> None:
    records = [read_run(run(config_in(tmp_path / name, *overrides))) for name in ("a", "b")]
    first, second = (record.evaluation for record in records)
    np.testing.assert_array_equal(first.logits, second.logits)
    np.testing.assert_array_equal(first.saliency["gradcam"].maps, second.saliency["gradcam"].maps)
    timed = {"seconds", "images_per_second"}
    for name in set(records[0].training) - timed:
        assert records[0].training[name] == records[1].training[name], name


def test_another_seed_gives_another_classifier(tmp_path: Path) -> None:
    logits = [
        read_run(run(config_in(tmp_path, "method=ce", f"seed={seed}"))).evaluation.logits
        for seed in (1, 2)
    ]
    assert not np.allclose(*logits)


def test_file_has_all_that_it_should(tmp_path: Path) -> None:
    config = config_in(tmp_path, "saliency=all")
    path = run(config)
    assert check_run(path) is None
    record = read_run(path)
    assert record.config == config
    assert record.provenance["packages"]["torch"] == torch.__version__.split("+")[0]
    assert len(record.provenance["commit"]) == 40
    assert record.provenance["hardware"]["cores"] >= 1
    assert set(record.training) >= {
        "loss", "cross_entropy", "manifold_matching", "optimal_transport", "marginal_error",
        "temperature", "learning_rate", "seconds", "train_top1",
    }  # fmt: skip
    assert set(record.evaluation.saliency) == {
        "gradcam", "gradcam_pp", "layercam", "scorecam", "rise",
    }  # fmt: skip
    for name, saliency in record.evaluation.saliency.items():
        assert set(saliency.scores) == {
            "insertion", "deletion", "combined", "ses", "sch", "mosu", "spurious_share",
        }  # fmt: skip
        side = 24 if name == "rise" else 3
        assert saliency.maps.shape == (24, side, side)
    assert record.cost.training_seconds > 0
    assert record.cost.peak_memory_bytes > 0
    assert record.cost.energy_kwh > 0
    assert not checkpoint_file(config).exists()
    assert list(tensorboard_folder(config).glob("events.*"))


def test_finished_run_is_left_alone_and_a_broken_one_is_redone(tmp_path: Path) -> None:
    config = config_in(tmp_path, "method=ce")
    path = run(config)
    whole = path.read_bytes()
    written = path.stat().st_mtime_ns
    run(config)
    assert path.stat().st_mtime_ns == written
    path.write_bytes(whole[: len(whole) // 2])
    run(config)
    assert check_run(path) is None


@pytest.mark.parametrize("stop_after", [2, 5])
def test_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path, stop_after: int) -> None:
    expected = read_run(run(config_in(tmp_path / "whole"))).evaluation.logits
    config = config_in(tmp_path / "cut")

    def interrupt(phase: str, done: int, _whole: int) -> None:
        if phase == "train" and done == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, interrupt)
    assert not run_file(config).exists()
    assert checkpoint_file(config).exists() == (stop_after > 3)
    np.testing.assert_array_equal(read_run(run(config)).evaluation.logits, expected)


def test_finished_classifier_loads_into_plain_torchvision(tmp_path: Path) -> None:
    config = config_in(tmp_path, "method=ce", "model=resnet18", "data.image_size=32")
    record = read_run(run(config))
    model = resnet18(num_classes=12)
    model.load_state_dict(load_file(weights_file(config)))
    data = load_data(config.data, "val")
    mean, std = (torch.tensor(x)[:, None, None] for x in (data.mean, data.std))
    images = torch.stack([data[i].image for i in range(24)]).float() / 255
    with torch.no_grad():
        logits = model.eval()((images - mean) / std)
    np.testing.assert_allclose(logits.numpy(), record.evaluation.logits, rtol=1e-4, atol=1e-4)


def test_equal_seeds_start_from_the_same_classifier(tmp_path: Path) -> None:
    """So that baseline and LICO differ by what they learn alone."""
    first = _classifier(config_in(tmp_path, "method=ce"), 12).state_dict()
    second = _classifier(config_in(tmp_path, "method=lico"), 12).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
