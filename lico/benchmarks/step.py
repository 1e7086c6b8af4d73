"""One training step of each reading of LICO, and the published way, over one of cross-entropy."""

from collections.abc import Iterator

import torch

from lico.benchmarks.cases import Case, batch_of, method_of, published_way, training_step
from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import Way, compared, interleaved
from lico.data.loading import Batch

READINGS = {
    "repro": ["reading=repro"],
    "converged": ["reading=converged"],
    "authors": ["reading=authors"],
    "authors-apart": ["reading=authors", "reading.roll=apart"],
}
WAYS = {
    f"{reading}-{precision}": [*overrides, f"text.precision={precision}"]
    for reading, overrides in READINGS.items()
    for precision in ("float32", "bfloat16")
}
GRAPHS = {f"{reading}-graphs": [*READINGS[reading], "run.cuda_graphs=true"] for reading in READINGS}
CASES = [Case(224), Case(64)]
MORE_CASES = [Case(224, 32, 100), Case(224, 64, 50), Case(224, 64, 100), Case(64, 64, 100)]


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Every reading and precision at each size, against the faster memory layout.

    On a GPU with CUDA graphs too.
    """
    ways = WAYS | (GRAPHS if setting.device.type == "cuda" else {})
    for case in CASES + (MORE_CASES if setting.full else []):
        batch = batch_of(case, setting.device)
        seconds = interleaved(_steps(case, batch, ways, setting.device), setting)
        layout = min(("channels last", "contiguous"), key=lambda each: sum(seconds[each]))
        for name in [*ways, "published"]:
            words = f"LICO step, {name}", f"cross-entropy step, {layout}"
            yield compared(f"step/{case.name}/{name}", seconds, name, layout, words)


def _steps(
    case: Case, batch: Batch, overrides: dict[str, list[str]], device: torch.device
) -> dict[str, Way]:
    baseline = method_of(case.config("method=ce"), case, device)
    contiguous = method_of(case.config("method=ce"), case, device)
    contiguous.to(memory_format=torch.contiguous_format)
    ways: dict[str, Way] = {
        "channels last": training_step(baseline, batch),
        "contiguous": training_step(contiguous, Batch(batch.images.contiguous(), batch.labels)),
        "published": training_step(published_way(case, device), batch),
    }
    for name, each in overrides.items():
        ways[name] = training_step(method_of(case.config(*each), case, device), batch)
    return ways
