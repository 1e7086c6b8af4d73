"""Peak memory of a training step of LICO, and of the published way, over one of cross-entropy."""

import ctypes
import gc
from collections.abc import Iterator

import torch

from lico.benchmarks.cases import Case, batch_of, method_of, published_way, training_step
from lico.benchmarks.figure import Figure, Setting
from lico.benchmarks.measure import in_own_process
from lico.training.meters import peak_memory_bytes, reset_peak_memory

CASES = [Case(224, 32, 50), Case(224, 64, 50)]
MORE_CASES = [Case(224, 128, 50, model="resnet50")]
READINGS = ("repro", "converged", "authors")
STEPS = 2


def benchmark(setting: Setting) -> Iterator[Figure]:
    """Every reading, each step in a process of its own."""
    for case in CASES + (MORE_CASES if setting.full else []):
        peaks = {
            way: in_own_process(peak_bytes, case, way, str(setting.device), setting.threads)
            for way in ("baseline", *READINGS, "published")
        }
        for way in (*READINGS, "published"):
            ratio = peaks[way] / peaks["baseline"]
            yield Figure(
                f"memory/{case.name}/{way}",
                ratio,
                f"LICO step, {way}",
                "cross-entropy step, whole process"
                if setting.device.type == "cpu"
                else "cross-entropy step, memory of the GPU",
                peaks[way],
                peaks["baseline"],
                "bytes",
                (ratio, ratio),
            )


def peak_bytes(case: Case, way: str, device_name: str, threads: int) -> float:
    """The peak while some steps are made, everything else being built already."""
    torch.set_num_threads(threads)
    device = torch.device(device_name)
    if way == "published":
        method = published_way(case, device)
    else:
        overrides = ["method=ce"] if way == "baseline" else [f"reading={way}"]
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
