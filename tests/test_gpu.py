"""What a CUDA device computes, against the processor; visibly skipped where there is none."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lico.benchmarks.cases import training_step
from lico.compose import compose_config
from lico.data.loading import Batch
from lico.losses.newton import newton
from lico.losses.newton_fused import fused_newton
from lico.losses.sinkhorn import sinkhorn
from lico.losses.sinkhorn_fused import fused_sinkhorn
from lico.results.reader import read_run
from lico.run import run as perform
from tests.end_to_end.small import TINY
from tests.losses import test_newton_fused, test_sinkhorn_fused
from tests.methods import test_cuda_graphs
from tests.methods.test_cuda_graphs import method_of
from tests.methods.test_readings_and_prompts import BATCH, PROMPTS, READINGS
from tests.requirements import require

DEVICE = "cuda"
require("gpu", None if torch.cuda.is_available() else "there is no CUDA device")


@pytest.fixture(autouse=True)
def single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def batch(dtype: torch.dtype, device: str) -> Batch:
    assert BATCH.indices is not None
    images, labels, indices = BATCH.images, BATCH.labels, BATCH.indices
    return Batch(images.to(device, dtype), labels.to(device), indices=indices.to(device))


@pytest.mark.parametrize("case", test_sinkhorn_fused.CASES, ids=str)
def test_sinkhorns_kernels(case: test_sinkhorn_fused.Case) -> None:
    found = fused_sinkhorn(case.cost().to(DEVICE), case.epsilon, case.steps, case.threshold)
    exact = sinkhorn(case.cost().double(), case.epsilon, case.steps, case.threshold)
    assert float(found.iterations) == float(exact.iterations)
    weights = case.weights()
    ours = found.plan(), found.adjoint(weights.to(DEVICE))
    for mine, theirs in zip(ours, (exact.plan(), exact.adjoint(weights.double())), strict=True):
        largest = max(float(theirs.abs().max()), 1e-3)
        torch.testing.assert_close(
            mine.double().cpu(), theirs, rtol=5 * case.tolerance, atol=5 * case.tolerance * largest
        )


@pytest.mark.parametrize("case", test_newton_fused.CASES, ids=str)
def test_newtons_kernel(case: test_newton_fused.Case) -> None:
    found = fused_newton(case.start().log_plan().to(DEVICE)).cpu()
    expected = newton(case.start(), case.epsilon).plan()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("reading", READINGS)
def test_a_step_is_that_of_the_processor(reading: str, prompt: str) -> None:
    case = test_cuda_graphs.Case(reading, prompt)
    exact = method_of(case, graphs=False).double()(batch(torch.float64, "cpu"), 5)
    method = method_of(case, graphs=False).to(DEVICE)
    ours = method(batch(torch.float32, DEVICE), 5)
    for name, value in exact.scalars.items():
        assert float(ours.scalars[name]) == pytest.approx(float(value), rel=5e-3, abs=1e-5), name


@pytest.mark.parametrize("reading", READINGS)
def test_a_step_never_waits(reading: str) -> None:
    method = method_of(test_cuda_graphs.Case(reading, "shared"), graphs=False).to(DEVICE)
    step = training_step(method, batch(torch.float32, DEVICE))
    step()
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("case", test_cuda_graphs.CASES, ids="-".join)
def test_replayed_steps_are_the_steps(case: test_cuda_graphs.Case) -> None:
    plain, replayed = (
        test_cuda_graphs.run(method_of(case, graphs).to(DEVICE), DEVICE) for graphs in (False, True)
    )
    for step, (ours, theirs) in enumerate(zip(replayed.scalars, plain.scalars, strict=True)):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5), step


@pytest.mark.parametrize(
    "overrides",
    [["method=ce"], ["method=lico"], ["reading=converged", "run.cuda_graphs=true"], ["method=cgc"]],
    ids=" ".join,
)
def test_same_seed_gives_the_same_bits(tmp_path: Path, overrides: list[str]) -> None:
    first, second = (
        read_run(
            perform(
                compose_config(
                    [*TINY, *overrides, f"run.results='{tmp_path / name}'", f"run.device={DEVICE}"]
                )
            )
        ).evaluation
        for name in ("a", "b")
    )
    np.testing.assert_array_equal(first.logits, second.logits)
    np.testing.assert_array_equal(first.saliency["gradcam"].maps, second.saliency["gradcam"].maps)
