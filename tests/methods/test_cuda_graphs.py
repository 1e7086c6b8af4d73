"""Steps replayed as CUDA graphs are the steps themselves: on recordings, kernels interpreted."""

from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from lico.build import build_method
from lico.cuda_graphs import Replayed
from lico.data.loading import Batch
from lico.methods.step import TrainingMethod
from lico.models.classifier import build_classifier
from tests.losses.kernels import KERNELS, interpreted
from tests.methods.recorded import RecordedKernel, make_graphed_callables
from tests.methods.test_readings_and_prompts import CAPTIONS, READINGS, config_of
from tests.text.towers import NAMES, encoder, tower

LABELS = [[2, 0, 2, 3], [1, 1, 1, 1], [3, 2, 1, 0], [0, 0, 3], [2, 0, 2, 1]]  # one batch is smaller


class Case(NamedTuple):
    reading: str
    prompt: str


class Run(NamedTuple):
    """What each step gave, and the parameters that it all led to."""

    scalars: list[dict[str, float]]
    parameters: dict[str, Tensor]


def run(method: TrainingMethod, device: str = "cpu") -> Run:
    """Some steps of SGD, each with another batch."""
    random = torch.Generator().manual_seed(1)
    trained = {name: p for name, p in method.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(trained.values(), lr=0.01, momentum=0.9)
    scalars: list[dict[str, float]] = []
    for step, labels in enumerate(LABELS):
        images = torch.randn(len(labels), 3, 32, 32, generator=random)
        indices = torch.arange(len(labels)) + step % 2
        batch = Batch(
            *(each.to(device) for each in (images, torch.tensor(labels))),
            indices=indices.to(device),
        )
        result = method(batch, step)
        result.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()
        found = result.scalars | {"loss": result.loss.detach()}
        scalars.append({name: float(value) for name, value in found.items()})
    return Run(scalars, {name: p.detach() for name, p in trained.items()})


def both(cases: list[Case]) -> list[tuple[Run, Run, int]]:
    """Steps as they are and replayed, and how many were captured; as on a GPU."""
    captured: list[object] = []

    def capture(*args: Any, **options: Any) -> object:
        captured.append(args)
        return make_graphed_callables(*args, **options)

    results: list[tuple[Run, Run, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lico.distinct.AT_HAND", frozenset[str]())
        patch.setattr("lico.losses.fused.DEVICES", frozenset({"cpu"}))
        patch.setattr(torch.cuda, "make_graphed_callables", capture)
        for module, name in KERNELS:
            patch.setattr(module, name, RecordedKernel(getattr(module, name)))
        for case in cases:
            plain, replayed = (method_of(case, graphs) for graphs in (False, True))
            captured.clear()
            results.append((run(plain), run(replayed), len(captured)))
    return results


def method_of(case: Case, graphs: bool) -> TrainingMethod:
    config = config_of(*case)
    config = config.model_copy(
        update={"run": config.run.model_copy(update={"cuda_graphs": graphs})}
    )
    torch.manual_seed(0)
    classifier = build_classifier(config.model, len(NAMES))
    captions = CAPTIONS if config.prompt.text == "caption" else None
    return build_method(config, classifier, NAMES, captions, encoder(tower())).train()


CASES = [
    *(Case(reading, "shared") for reading in READINGS),
    Case("repro", "class_specific"),
    Case("converged", "captions"),
]


@pytest.fixture(scope="module")
def runs() -> dict[Case, tuple[Run, Run, int]]:
    return interpreted(both, CASES)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_replayed_steps_are_the_steps(runs: dict[Case, tuple[Run, Run, int]], case: Case) -> None:
    plain, replayed, captured = runs[case]
    assert captured == 1
    for step, (ours, theirs) in enumerate(zip(replayed.scalars, plain.scalars, strict=True)):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-7), step
    for name, theirs in plain.parameters.items():
        message = partial("{}: {}".format, name)
        torch.testing.assert_close(
            replayed.parameters[name], theirs, rtol=1e-4, atol=1e-7, msg=message
        )


def test_what_cannot_be_captured_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    replayed = Replayed(lambda x: {"twice": 2 * x}, [])
    with pytest.raises(RuntimeError, match=r"not permitted .*; set run.cuda_graphs=false"):
        replayed(torch.ones(2, requires_grad=True))
