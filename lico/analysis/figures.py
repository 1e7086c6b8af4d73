"""Curves as inline SVG whose text and axes take the page's colour, so that dark mode works."""

import html
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from lico.analysis.systems import system_of

matplotlib: Any = mpl  # its own types are incomplete

_INK = "#010203"  # replaced by the page's own colour
_WIDTH_INCHES = 4.4
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}

Lines = Mapping[str, list[Float[np.ndarray, " points"]]]  # system → a curve a seed


@dataclass(frozen=True)
class Panel:
    """One small chart.

    Attributes:
        title: above it.
        x_label: below it.
        lines: by system, a curve a seed, all of one length within a system.
        x: by system, where the points are.
        levels: horizontal lines with a name, such as a clamp.
    """

    title: str
    x_label: str
    lines: Lines
    x: Mapping[str, Float[np.ndarray, " points"]]
    levels: Mapping[str, float] = field(default_factory=dict[str, float])


def curves_svg(panel: Panel) -> str:
    """Mean over seeds by system, with a band of one standard deviation for two seeds or more."""

    def draw(axes: Any) -> None:
        for system, curves in panel.lines.items():
            _draw_line(axes, system, panel.x[system], np.stack(curves))
        for name, level in panel.levels.items():
            axes.axhline(level, color=_INK, linewidth=0.8, linestyle=(0, (3, 3)), alpha=0.7)
            place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            axes.annotate(name, (0, level), xytext=(4, 3), fontsize=8, **place)
        axes.set_xlabel(panel.x_label)
        axes.margins(x=0.02)

    return _chart(panel.title, 3.0, draw)


def dots_svg(title: str, values: Mapping[str, list[float]]) -> str:
    """One row a system: a dot a seed, and a tick at the mean.

    Args:
        title: above the chart.
        values: by system.
    """

    def draw(axes: Any) -> None:
        for row, (system, numbers) in enumerate(values.items()):
            colour = system_of(system).colour
            axes.plot(numbers, [row] * len(numbers), "o", color=colour, alpha=0.65, markersize=5)
            axes.plot(float(np.mean(numbers)), row, "|", color=colour, markersize=16, mew=2.5)
        axes.set_yticks(range(len(values)), [system_of(system).short for system in values])
        axes.set_ylim(len(values) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")

    return _chart(title, 0.9 + 0.3 * len(values), draw)


def _draw_line(
    axes: Any,
    system: str,
    x: Float[np.ndarray, " points"],
    curves: Float[np.ndarray, "seeds points"],
) -> None:
    colour = system_of(system).colour
    mean = curves.mean(axis=0)
    axes.plot(x, mean, color=colour, linewidth=1.7, marker="o" if len(x) == 1 else "")
    if len(curves) > 1:
        std = curves.std(axis=0, ddof=1)
        axes.fill_between(x, mean - std, mean + std, color=colour, alpha=0.14, linewidth=0)


def _chart(title: str, height_inches: float, draw: Callable[[Any], None]) -> str:
    text = io.StringIO()
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": title}):
        figure: Any = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=10, fontweight="bold")
        draw(axes)
        no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=no_metadata)
    return _inline(text.getvalue(), title)


def _inline(svg: str, title: str) -> str:
    """Without prolog, fixed size and unused ids; with a name for readers of screens."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    used = set(re.findall(r'(?:href="|url\()#([\w-]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)
    return svg.replace(_INK, "currentColor")
