"""A step on a GPU never makes the host wait: shown on a device that has no numbers.

Tensors on torch's meta device have shapes alone. What asks for a number (`item`, `nonzero`,
`unique`) cannot run there, and a copy between it and the host is seen; it may only go to the
device, without waiting. Triton's kernels are not run.
"""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lico.build import build_method
from lico.data.loading import Batch
from lico.methods.step import TrainingMethod
from lico.models.classifier import build_classifier
from tests.losses.kernels import KERNELS
from tests.methods.test_readings_and_prompts import BATCH, CAPTIONS, PROMPTS, READINGS, config_of
from tests.text.towers import NAMES, OTHER_TOWERS, encoder, tower


class Kernel:
    """In place of one of Triton's."""

    def __getitem__(self, grid: tuple[int, ...]) -> "Kernel":
        return self

    def __call__(self, *_: object, **__: object) -> None:
        pass


class Copies(TorchDispatchMode):
    """Sees every operation that takes numbers from the host to the device or back."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        devices = {x.device.type for x in tensors if x.ndim}
        if len(devices) > 1 and not (kwargs or {}).get("non_blocking"):
            self.waiting.append(str(func))
        return result


@pytest.fixture(autouse=True)
def device_without_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Meta counts as a device with kernels; it knows no autocast."""
    monkeypatch.setattr("lico.losses.fused.DEVICES", frozenset({"meta"}))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    for module, name in KERNELS:
        monkeypatch.setattr(module, name, Kernel())


def on_device(reading: str, prompt: str, **options: Any) -> tuple[TrainingMethod, Batch]:
    config = config_of(reading, prompt)
    captions = CAPTIONS if config.prompt.text == "caption" else None
    classifier = build_classifier(config.model, len(NAMES))
    method = build_method(config, classifier, NAMES, captions, encoder(tower(**options)))
    assert BATCH.indices is not None
    images, labels, indices = (
        each.to("meta") for each in (BATCH.images.float(), BATCH.labels, BATCH.indices)
    )
    return method.train().to("meta"), Batch(images, labels, indices=indices)


def step(method: TrainingMethod, batch: Batch) -> list[str]:
    """What made the host wait, once what is made for all steps is there."""
    trained = [p for p in method.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1, momentum=0.9, foreach=True)
    for _ in range(2):
        with Copies() as copies:
            method(batch, 0).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            method.after_step()
    return copies.waiting


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("reading", READINGS)
def test_a_step_asks_the_device_for_nothing(reading: str, prompt: str) -> None:
    assert step(*on_device(reading, prompt)) == []


@pytest.mark.parametrize("kind", OTHER_TOWERS)
@pytest.mark.parametrize("prompt", ["shared", "label_front"])
def test_other_towers_ask_for_nothing(prompt: str, kind: str) -> None:
    assert step(*on_device("repro", prompt, **OTHER_TOWERS[kind])) == []


def test_a_wait_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batch = on_device("repro", "shared")
    with monkeypatch.context() as patch:
        patch.setattr("lico.distinct.AT_HAND", frozenset({"meta"}))
        with pytest.raises((RuntimeError, NotImplementedError), match=r"[Mm]eta"):
            step(method, batch)
    with Copies() as copies:
        batch.labels + torch.arange(4).to("meta")
    assert len(copies.waiting) == 1
