"""Peak memory of a training step of LICO, and of the published way, over one of cross-entropy.

Of the tensors that are alive, which is the same each time, and on a processor also of the process:
that has Python and torch too, and holes in its heap.
"""

import ctypes
import gc
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

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
MEASURED = "measured step"
MOST_ROUNDS = 3  # each takes minutes


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Every reading and precision of the tower, each step in a process of its own."""
    for case in CASES + (MORE_CASES if setting.full else []):
        ways = ("baseline", *WAYS, *(["published"] if case in CASES else []))
        rounds = min(setting.rounds, MOST_ROUNDS)
        if setting.device.type == "cpu":
            yield from _compared(case, "tensors", tensor_bytes, ways, setting, 1)
            yield from _compared(case, "process", peak_bytes, ways, setting, rounds)
        else:
            yield from _compared(case, "tensors", peak_bytes, ways, setting, rounds)


def _compared(
    case: Case,
    of: str,
    measure: Callable[[Case, str, str, int], float],
    ways: tuple[str, ...],
    setting: Setting,
    rounds: int,
) -> Iterator[Figure]:
    peaks: dict[str, list[float]] = {way: [] for way in ways}
    whole = rounds * len(ways)
    for done in range(whole):
        way = ways[done % len(ways)]
        place = str(setting.device), setting.threads
        peaks[way].append(in_own_process(measure, case, way, *place))
        setting.told(done + 1, whole)
    for way in ways[1:]:
        words = f"LICO step, {way}", f"cross-entropy step, memory of {of}"
        figure = compared(f"memory/{case.name}/{of}/{way}", peaks, way, "baseline", words)
        yield replace(figure, unit="bytes")


def peak_bytes(case: Case, way: str, device_name: str, threads: int) -> float:
    """Of the process, or of a GPU's tensors, while some steps are made; building is not counted."""
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    if device.type == "cpu":
        keep_freed_memory()  # as a run does
    step = _step(case, way, device)
    _give_back()
    reset_peak_memory(device)
    for _ in range(STEPS):
        step()
    return peak_memory_bytes(device)


def tensor_bytes(case: Case, way: str, device_name: str, threads: int) -> float:
    """The most that tensors hold at a time in a step that is not the first; on a processor."""
    torch.set_num_threads(threads)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step = _step(case, way, torch.device(device_name))
        step()
        with record_function(MEASURED):
            step()
    kineto: Any = profiler.profiler
    events = sorted(kineto.kineto_results.events(), key=lambda event: event.start_ns())
    begun = next(event.start_ns() for event in events if event.name() == MEASURED)
    changes = [event for event in events if event.name() == "[memory]"]
    held = itertools.accumulate(event.nbytes() for event in changes)
    return max(now for now, event in zip(held, changes, strict=True) if event.start_ns() >= begun)


def _step(case: Case, way: str, device: torch.device) -> Callable[[], object]:
    if way == "published":
        method = published_way(case, device)
    else:
        overrides = ["method=ce"] if way == "baseline" else WAYS[way]
        method = method_of(case.config(*overrides), case, device)
    return training_step(method, batch_of(case, device))


def _give_back() -> None:
    """Return to the system what building has freed; the C library would keep it for itself."""
    gc.collect()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
