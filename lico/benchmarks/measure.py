"""Times side by side, and peak memory in processes of their own."""

import gc
import itertools
import multiprocessing
import time
from collections.abc import Callable
from statistics import median
from typing import Any, TypeVar

import torch

from lico.benchmarks.figure import Figure, Setting

Way = Callable[[], object]
R = TypeVar("R")


def interleaved(ways: dict[str, Way], setting: Setting, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each way, in rounds of all ways one after another.

    The speed of a machine drifts; within one round it hardly does.
    """
    whole = len(ways) * (warmup + setting.rounds)
    done = itertools.count(1)
    for _ in range(warmup):
        for way in ways.values():
            way()
            setting.told(next(done), whole)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    collects = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(setting.rounds):
            for name, way in ways.items():
                seconds[name].append(_seconds(way, setting.device))
                setting.told(next(done), whole)
    finally:
        if collects:
            gc.enable()
    return seconds


def compared(
    name: str, seconds: dict[str, list[float]], what: str, against: str, words: tuple[str, str]
) -> Figure:
    """The figure of two of the ways that were measured together.

    Args:
        name: of the figure.
        seconds: from `interleaved`.
        what: key of the way.
        against: key of the way that it is compared with.
        words: both in words.
    """
    ratios = [a / b for a, b in zip(seconds[what], seconds[against], strict=True)]
    return Figure(
        name,
        median(ratios),
        words[0],
        words[1],
        median(seconds[what]),
        median(seconds[against]),
        spread=(min(ratios), max(ratios)),
    )


def in_own_process(function: Callable[..., R], *arguments: Any) -> R:
    """The result of a function in a fresh process, whose memory nothing else has touched.

    The function and its arguments must be importable and picklable.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def _seconds(way: Way, device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    way()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
