"""Twelve background textures with names and colours of their own, in integer arithmetic."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Int64

Grid = Int64[np.ndarray, "rows columns"]
Pattern = Callable[[Grid, Grid, int], Bool[np.ndarray, "rows columns"]]


def _dotted(x: Grid, y: Grid, p: int) -> Bool[np.ndarray, "..."]:
    dx, dy = 2 * (x % p) - p + 1, 2 * (y % p) - p + 1
    return 10 * (dx * dx + dy * dy) < 4 * p * p


def _zigzag(x: Grid, y: Grid, p: int) -> Bool[np.ndarray, "..."]:
    return 2 * ((y + np.abs(x % (2 * p) - p)) % p) < p


def _bricked(x: Grid, y: Grid, p: int) -> Bool[np.ndarray, "..."]:
    row = y // (p // 2 + 1)
    return (y % (p // 2 + 1) == 0) | ((x + (row % 2) * (p // 2)) % p == 0)


def _ringed(x: Grid, y: Grid, p: int) -> Bool[np.ndarray, "..."]:
    dx, dy = x % (3 * p) - 3 * p // 2, y % (3 * p) - 3 * p // 2
    return ((dx * dx + dy * dy) * 4 // (p * p)) % 2 == 0


def _woven(x: Grid, y: Grid, p: int) -> Bool[np.ndarray, "..."]:
    flat = (x // p + y // p) % 2 == 0
    return np.where(flat, 3 * (y % p) < p, 3 * (x % p) < p)


def _scaly(x: Grid, y: Grid, p: int) -> Bool[np.ndarray, "..."]:
    shift = (y // (p // 2 + 1)) % 2 * (p // 2)
    dx, dy = 2 * ((x + shift) % p) - p, 2 * (y % (p // 2 + 1))
    distance = dx * dx + dy * dy
    return (distance < p * p) & (2 * distance > p * p)


TEXTURES: dict[str, Pattern] = {
    "dotted": _dotted,
    "striped": lambda x, y, p: 2 * (y % p) < p,
    "barred": lambda x, y, p: 2 * (x % p) < p,
    "checked": lambda x, y, p: (2 * x // p + 2 * y // p) % 2 == 0,
    "slanted": lambda x, y, p: 2 * ((x + y) % p) < p,
    "zigzag": _zigzag,
    "gridded": lambda x, y, p: (x % p < 2) | (y % p < 2),
    "bricked": _bricked,
    "ringed": _ringed,
    "hatched": lambda x, y, p: ((x + y) % p < 2) | ((x - y) % p < 2),
    "woven": _woven,
    "scaly": _scaly,
}

TINTS: list[tuple[int, int, int]] = [
    (56, 88, 136), (120, 72, 56), (64, 104, 64), (112, 96, 48), (96, 64, 112), (56, 104, 104),
    (128, 80, 96), (80, 88, 48), (72, 72, 120), (120, 104, 80), (48, 96, 80), (104, 72, 80),
]  # fmt: skip
