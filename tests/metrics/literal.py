"""Slow references, written from the equations, loop by loop."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Answer = Callable[[Tensor], Tensor]  # one image → probabilities of the classes


def top_k_correct(logits: list[float], label: int, k: int) -> bool:
    ordered = sorted(range(len(logits)), key=lambda index: (-logits[index], index))
    return label in ordered[:k]


def blur(image: Tensor) -> Tensor:
    """11 × 11 Gaussian of σ = 5, normalised, zeros beyond the edge."""
    weights = {
        (dy, dx): math.exp(-(dy * dy + dx * dx) / (2 * 5.0**2))
        for dy in range(-5, 6)
        for dx in range(-5, 6)
    }
    total = sum(weights.values())
    _, height, width = image.shape
    out = torch.zeros_like(image)
    for y in range(height):
        for x in range(width):
            for (dy, dx), weight in weights.items():
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    out[:, y, x] += weight / total * image[:, y + dy, x + dx]
    return out


def curve(
    answer: Answer, start: Tensor, end: Tensor, saliency: Tensor, target: int, pixels_per_step: int
) -> tuple[list[float], list[float]]:
    """Shares of pixels changed from `start` to `end`, and the target's probability at each."""
    height, width = saliency.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    ordered = sorted(pixels, key=lambda at: (-float(saliency[at]), at))
    current = start.clone()
    shares, values = [0.0], [float(answer(current)[target])]
    for count, (y, x) in enumerate(ordered, start=1):
        current[:, y, x] = end[:, y, x]
        if count % pixels_per_step == 0 or count == len(ordered):
            shares.append(count / len(ordered))
            values.append(float(answer(current)[target]))
    return shares, values


def area(shares: list[float], values: list[float]) -> float:
    return sum(
        (shares[i + 1] - shares[i]) * (values[i] + values[i + 1]) / 2
        for i in range(len(shares) - 1)
    )


def ses(a: Tensor, b: Tensor) -> float:
    """Eq. 1."""
    dot = square_a = square_b = 0.0
    for x, y in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True):
        dot, square_a, square_b = dot + x * y, square_a + x * x, square_b + y * y
    if square_a == 0 or square_b == 0:
        return math.nan
    return dot / math.sqrt(square_a * square_b)


def sch(saliency: Tensor, mask: Tensor) -> float:
    """Eq. 2, with pixels of 255 in neither sum."""
    inside = total = 0.0
    for h, m in zip(saliency.flatten().tolist(), mask.flatten().tolist(), strict=True):
        if m != 255:
            inside, total = inside + h * m, total + h
    return inside / total if total > 0 and (mask == 1).any() else math.nan


def spurious_share(saliency: Tensor, spurious: Tensor) -> float:
    inside = total = 0.0
    for h, s in zip(saliency.flatten().tolist(), spurious.flatten().tolist(), strict=True):
        inside, total = inside + h * s, total + h
    return inside / total if total > 0 and spurious.any() else math.nan


def mosu(saliency: Tensor, boxes: Tensor) -> float:
    """Eq. 3, each pixel counted by the area of it that a box covers."""
    height, width = saliency.shape
    found: list[tuple[float, float]] = []
    for x_min, y_min, x_max, y_max in boxes.tolist():
        area_of_box = saliency_in_box = 0.0
        for y in range(height):
            for x in range(width):
                across = max(0.0, min(x_max, x + 1) - max(x_min, x))
                down = max(0.0, min(y_max, y + 1) - max(y_min, y))
                area_of_box += across * down
                saliency_in_box += across * down * float(saliency[y, x])
        if area_of_box > 0:
            found.append((area_of_box, saliency_in_box))
    areas, inside = sum(a for a, _ in found), sum(s for _, s in found)
    if len(found) < 2 or inside == 0:
        return math.nan
    divergence = 0.0
    for a, s in found:
        if s == 0:
            return math.inf
        divergence += a / areas * math.log((a / areas) / (s / inside))
    return divergence
