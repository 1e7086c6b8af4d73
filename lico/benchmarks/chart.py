"""Figures of one benchmark as bars, beside the file that has them as numbers."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import LogLocator

from lico.atomic import write_atomically

_OURS, _PUBLISHED = "#3267a8", "#9a9a9a"
_ROW_INCHES = 0.26


def draw(benchmark: str, figures: Sequence[Mapping[str, Any]], folder: Path) -> Path | None:
    """Write `<folder>/<benchmark>.png`: ratios on a logarithmic axis, lowest to highest as a line.

    Args:
        benchmark: its figures alone are drawn.
        figures: as `lico.benchmarks.figure.load` gives them.
        folder: of bench.json.

    Returns:
        The file; nothing if the benchmark has no figures yet.

    Raises:
        ResultsError: if it cannot be written.
    """
    mine = [each for each in figures if each["name"].startswith(f"{benchmark}/")]
    if not mine:
        return None
    picture = Picture(figsize=(9, 1.1 + _ROW_INCHES * len(mine)), layout="constrained", dpi=120)
    axes = picture.subplots()
    rows = np.arange(len(mine))
    ratios = np.array([each["ratio"] for each in mine])
    low, high = np.array([each["spread"] for each in mine]).T
    colours = [_PUBLISHED if "published" in each["name"] else _OURS for each in mine]
    axes.barh(rows, ratios - 1, left=1, color=colours, height=0.7)
    axes.hlines(rows, low, high, color="black", linewidth=1)
    for row, (ratio, far) in enumerate(zip(ratios, np.fmax(ratios, high), strict=True)):
        place: dict[str, Any] = {"xytext": (4, 0), "textcoords": "offset points"}
        axes.annotate(f"{ratio:.2f}", (max(far, 1.0), row), va="center", fontsize=8, **place)
    axes.set_yticks(rows, [each["name"].partition("/")[2] for each in mine], fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 3, 5)))
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="x", which="both", labelsize=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.margins(x=0.12, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    devices = ", ".join(sorted({each["device"] for each in mine}))
    axes.set_title(f"{benchmark}: ratio to what it is compared with ({devices})", fontsize=10)
    path = folder / f"{benchmark}.png"
    content = io.BytesIO()
    picture.savefig(content, format="png")
    write_atomically(path, content.getvalue())
    return path
