"""Peak memory of a training step of LICO, and of the published way, over one of cross-entropy."""

import ctypes
import gc
from collections.abc import Iterator
from dataclasses import replace

import torch

from lico.benchmarks.cases import Case, batch_of, method_of, published_way, training_step
from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import compared, in_own_process
from lico.training.heap import keep_freed_memory
from lico.training.meters import peak_memory_bytes, reset_peak_memory

CASES = [Case(224, 32, 50), Case(224, 64, 50)]
MORE_CASES = [Case(224, 128, 50, model="resnet50")]  # where the published way takes 40 GB
WAYS = {
    f"{reading}{suffix}": [f"reading={reading}", *overrides]
    for reading in ("repro", "converged", "authors")
    for suffix, overrides in (("", []), ("-bfloat16", ["text.precision=bfloat16"]))
}
STEPS = 2
MOST_ROUNDS = 3  # each takes minutes


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Every reading and precision of the tower, each step in a process of its own."""
    for case in CASES + (MORE_CASES if setting.full else []):
        ways = ("baseline", *WAYS, *(["published"] if case in CASES else []))
        peaks: dict[str, list[float]] = {way: [] for way in ways}
        whole = min(setting.rounds, MOST_ROUNDS) * len(ways)
        for done in range(whole):
            way = ways[done % len(ways)]
            place = str(setting.device), setting.threads
            peaks[way].append(in_own_process(peak_bytes, case, way, *place))
            setting.told(done + 1, whole)
        where = "whole process" if setting.device.type == "cpu" else "memory of the GPU"
        for way in ways[1:]:
            words = f"LICO step, {way}", f"cross-entropy step, {where}"
            figure = compared(f"memory/{case.name}/{way}", peaks, way, "baseline", words)
            yield replace(figure, unit="bytes")


def peak_bytes(case: Case, way: str, device_name: str, threads: int) -> float:
    """The peak while some steps are made, everything else being built already."""
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    if device.type == "cpu":
        keep_freed_memory()  # as a run does
    if way == "published":
        method = published_way(case, device)
    else:
        overrides = ["method=ce"] if way == "baseline" else WAYS[way]
        method = method_of(case.config(*overrides), case, device)
    step = training_step(method, batch_of(case, device))
    _give_back()
    reset_peak_memory(device)
    for _ in range(STEPS):
        step()
    return peak_memory_bytes(device)


def _give_back() -> None:
    """Return to the system what building has freed; the C library would keep it for itself."""
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
