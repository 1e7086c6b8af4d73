"""Weights of others: every published form, the order of their classes, and hostile files."""

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lico.config import Model
from lico.models.classifier import SmallResNet, build_classifier
from lico.models.published import WeightsError, load_published, read_weights

SMALL = Model(name="small_resnet")
IMAGES = torch.linspace(-1, 1, 2 * 3 * 32 * 32).view(2, 3, 32, 32)


def network(classes: int = 12) -> SmallResNet:
    torch.manual_seed(3)
    return SmallResNet(classes).eval()


def logits(path: Path, **options: Any) -> Tensor:
    backbone = load_published(path, SMALL, 12, **options).backbone.eval()
    with torch.no_grad():
        return backbone(IMAGES)


def expected() -> Tensor:
    with torch.no_grad():
        return network()(IMAGES)


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in network().state_dict().items()}


class Callback:
    """A class that whoever loads the file does not have."""

    def __init__(self) -> None:
        self.best = torch.ones(2)


def lightning(prefix: str) -> dict[str, Any]:
    """What Lightning puts into a checkpoint, with classes of the project that wrote it."""
    return {
        "epoch": 99,
        "pytorch-lightning_version": "2.1.3",
        "state_dict": prefixed(prefix) | {"prompt_learner.ctx": torch.zeros(12, 512)},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.8)}},
        "hyper_parameters": {"args": argparse.Namespace(lr=0.03), "callback": Callback()},
        "optimizer_states": [torch.optim.SGD(network().parameters(), lr=0.1).state_dict()],
    }


@pytest.mark.parametrize("prefix", ["image_model.", "_model.", "image_model.model.", "module.", ""])
def test_lightning_checkpoints_whatever_their_prefix(prefix: str, tmp_path: Path) -> None:
    torch.save(lightning(prefix), tmp_path / "last.ckpt")
    assert torch.equal(logits(tmp_path / "last.ckpt"), expected())


def test_plain_state_dicts_old_and_new_and_safetensors(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "new.pth")
    old = tmp_path / "old.pth"
    torch.save(network().state_dict(), old, _use_new_zipfile_serialization=False)
    save_file(network().state_dict(), tmp_path / "safe.safetensors")
    for name in ("new.pth", "old.pth", "safe.safetensors"):
        assert torch.equal(logits(tmp_path / name), expected())


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("hostile",)


@pytest.mark.parametrize("new", [True, False])
def test_nothing_in_a_pickle_is_run(
    new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content = lightning("image_model.") | {"x": Hostile(), "y": [Hostile()]}
    torch.save(content, "hostile.ckpt", _use_new_zipfile_serialization=new)
    assert torch.equal(logits(Path("hostile.ckpt")), expected())
    Path("bare.ckpt").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(WeightsError, match=r"bare\.ckpt"):
        read_weights(Path("bare.ckpt"))
    assert not Path("hostile").exists()


def test_classes_in_the_order_of_folders_named_by_number(tmp_path: Path) -> None:
    """Output 2 of such a network is class 10, since "10" comes before "2"."""
    torch.save(network().state_dict(), tmp_path / "a.pth")
    theirs = sorted(range(12), key=str)
    assert theirs[:4] == [0, 1, 10, 11]
    ours = logits(tmp_path / "a.pth", order="numeric_folders")
    for place, label in enumerate(theirs):
        assert torch.equal(ours[:, label], expected()[:, place])


def test_classes_with_the_marked_one_last(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "a.pth")
    ours = logits(tmp_path / "a.pth", order="marked_last", marked=4)
    assert torch.equal(ours[:, 4], expected()[:, 11])
    assert torch.equal(ours[:, 5], expected()[:, 4])
    assert torch.equal(ours[:, :4], expected()[:, :4])
    with pytest.raises(WeightsError, match=r"data\.marker\.class_name"):
        logits(tmp_path / "a.pth", order="marked_last")


def test_what_does_not_fit_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with pytest.raises(WeightsError, match="there is no weights file"):
        read_weights(path)
    for content in (b"", b"no weights", b"PK\x03\x04 broken"):
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="is no weights file"):
            read_weights(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(WeightsError, match="has no state dict"):
        read_weights(path)
    torch.save(network(7).state_dict(), path)
    with pytest.raises(WeightsError, match="tells 7 classes apart, the data set has 12"):
        logits(path)
    torch.save(build_classifier(Model(name="resnet18"), 12).backbone.state_dict(), path)
    with pytest.raises(WeightsError, match="model=NAME"):
        logits(path)
    with pytest.raises(WeightsError, match="model=NAME"):
        load_published(path, Model(name="resnet50"), 12)
