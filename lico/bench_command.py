"""What `lico bench` does: find the benchmarks, run them, keep and show the figures."""

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Column, Table

import lico.benchmarks
from lico.benchmarks.chart import draw
from lico.benchmarks.figure import Figure, Setting, load, save
from lico.names import suggestion
from lico.progress import BenchProgress
from lico.training.heap import keep_freed_memory

Benchmark = Callable[[Setting], Iterator[Figure]]


def benchmarks() -> dict[str, Benchmark]:
    """Every benchmark of this folder by its file's name."""
    found: dict[str, Benchmark] = {}
    for module in pkgutil.iter_modules(lico.benchmarks.__path__):
        function = getattr(
            importlib.import_module(f"lico.benchmarks.{module.name}"), "benchmark", None
        )
        if function is not None:
            found[module.name] = function
    return found


def run_benchmarks(console: Console, names: list[str], path: Path, setting: Setting) -> None:
    """Run some benchmarks, or all; figures are kept as they come.

    Args:
        console: for the figures.
        names: of benchmarks; none: all.
        path: JSON file; figures that are not measured again stay in it.
        setting: device, threads, how many cases.

    Raises:
        ValueError: if there is no benchmark of a name.
    """
    known = benchmarks()
    for name in names:
        if name not in known:
            raise ValueError(f"{name} is not one of {', '.join(known)}{suggestion(name, known)}")
    torch.set_num_threads(setting.threads)
    if setting.device.type == "cpu":
        keep_freed_memory()  # as a run does
    console.print(f"{setting.threads} thread(s), {setting.rounds} rounds on {setting.device}")
    with BenchProgress(console, len(names or known)) as progress:
        setting = replace(setting, told=progress.update)
        for name in names or known:
            progress.begin(name)
            console.print(_measured(known[name], path, setting))
            progress.end()
            if chart := draw(name, load(path), path.parent):
                console.print(f"as bars: {chart}")
    console.print(f"figures: {path}")


def _measured(benchmark: Benchmark, path: Path, setting: Setting) -> Table:
    table = Table(Column("figure", overflow="fold"), "ratio", "lowest to highest", "over")
    for figure in benchmark(setting):
        save([figure], path, setting)
        low, high = figure.spread
        table.add_row(
            figure.name, f"{figure.ratio:.3f}", f"{low:.2f} to {high:.2f}", figure.against
        )
    return table


def listing() -> Table:
    """The benchmarks and what they measure."""
    table = Table("benchmark", "what it measures")
    for name, function in benchmarks().items():
        document = importlib.import_module(function.__module__).__doc__ or ""
        table.add_row(name, document.partition("\n")[0])
    return table
