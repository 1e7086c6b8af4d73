"""Twelve plane figures, each a test of points against its outline.

Everything is comparisons and elementwise + - * /, which IEEE 754 defines to the last bit, so
that a picture has the same bytes on every machine. Every figure fills most of the unit disc,
has its top at negative v (pictures grow downwards), and mirrored is still the same figure.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64

Points = Float64[np.ndarray, "rows columns"]
Inside = Callable[[Points, Points], Bool[np.ndarray, "rows columns"]]


def polygon(*corners: tuple[float, float]) -> Inside:
    """A polygon by the even-odd rule; corners in order, the last joined to the first."""

    def inside(u: Points, v: Points) -> Bool[np.ndarray, "rows columns"]:
        crossings = np.zeros(u.shape, dtype=bool)
        for (u0, v0), (u1, v1) in zip(corners, (*corners[1:], corners[0]), strict=True):
            if v0 == v1:
                continue
            crosses = (v0 > v) != (v1 > v)
            crossings ^= crosses & (u < (u1 - u0) / (v1 - v0) * (v - v0) + u0)
        return crossings

    return inside


def _disc(u: Points, v: Points, cu: float, cv: float, radius: float) -> Bool[np.ndarray, "..."]:
    return (u - cu) * (u - cu) + (v - cv) * (v - cv) < radius * radius


def _ring(u: Points, v: Points) -> Bool[np.ndarray, "rows columns"]:
    return _disc(u, v, 0, 0, 0.95) & ~_disc(u, v, 0, 0, 0.52)


def _crescent(u: Points, v: Points) -> Bool[np.ndarray, "rows columns"]:
    return _disc(u, v, 0, 0, 0.98) & ~_disc(u, v, 0.48, 0, 0.78)


def _heart(u: Points, v: Points) -> Bool[np.ndarray, "rows columns"]:
    lobes = _disc(u, v, -0.44, -0.34, 0.5) | _disc(u, v, 0.44, -0.34, 0.5)
    return lobes | _heart_tip(u, v)


def _clover(u: Points, v: Points) -> Bool[np.ndarray, "rows columns"]:
    leaves = _disc(u, v, 0, -0.52, 0.42) | _disc(u, v, 0, 0.52, 0.42)
    return leaves | _disc(u, v, -0.52, 0, 0.42) | _disc(u, v, 0.52, 0, 0.42)


_heart_tip = polygon((-0.9, -0.15), (0.9, -0.15), (0.0, 0.95))

SHAPES: dict[str, Inside] = {
    "star": polygon(
        (0.0, -1.0), (0.235, -0.324), (0.951, -0.309), (0.38, 0.124), (0.588, 0.809),
        (0.0, 0.4), (-0.588, 0.809), (-0.38, 0.124), (-0.951, -0.309), (-0.235, -0.324),
    ),
    "ring": _ring,
    "cross": polygon(
        (-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3),
        (0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3),
    ),
    "triangle": polygon((0.0, -0.95), (0.9, 0.7), (-0.9, 0.7)),
    "heart": _heart,
    "crescent moon": _crescent,
    "arrow": polygon(
        (0.0, -1.0), (0.75, -0.1), (0.28, -0.1), (0.28, 0.95), (-0.28, 0.95), (-0.28, -0.1),
        (-0.75, -0.1),
    ),
    "hexagon": polygon(
        (0.95, 0.0), (0.475, 0.823), (-0.475, 0.823), (-0.95, 0.0), (-0.475, -0.823),
        (0.475, -0.823),
    ),
    "house": polygon((0.0, -0.95), (0.85, -0.2), (0.6, -0.2), (0.6, 0.8), (-0.6, 0.8),
                     (-0.6, -0.2), (-0.85, -0.2)),
    "hourglass": polygon((-0.75, -0.9), (0.75, -0.9), (0.12, 0.0), (0.75, 0.9), (-0.75, 0.9),
                         (-0.12, 0.0)),
    "clover": _clover,
    "lightning bolt": polygon((0.25, -1.0), (-0.6, 0.15), (-0.08, 0.15), (-0.3, 1.0),
                              (0.6, -0.25), (0.08, -0.25), (0.5, -1.0)),
}  # fmt: skip

PLURALS = {
    "cross": "crosses",
    "hourglass": "hourglasses",
}


def plural(name: str) -> str:
    """The name of several."""
    return PLURALS.get(name, f"{name}s")
