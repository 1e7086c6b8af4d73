"""Slow references, written from the equations, loop by loop."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Answer = Callable[[Tensor], Tensor]  # one image → a number of each class


def _weighted(maps: Tensor, weights: list[float]) -> Tensor:
    total = torch.zeros_like(maps[0])
    for weight, each in zip(weights, maps, strict=True):
        total += weight * each
    return total.clamp(min=0)


def gradcam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM, eqs. 1 and 2; maps and gradients of one image, [channels, h, w]."""
    return _weighted(maps, [sum(g.flatten().tolist()) / g.numel() for g in gradients])


def gradcam_pp(maps: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++, eqs. 5 and 19 with the score's own derivatives."""
    weights: list[float] = []
    for each, gradient in zip(maps, gradients, strict=True):
        total = sum(each.flatten().tolist())
        weight = 0.0
        for g in gradient.flatten().tolist():
            denominator = 2 * g**2 + total * g**3
            alpha = g**2 / denominator if denominator != 0 else 0.0
            weight += alpha * max(g, 0.0)
        weights.append(weight)
    return _weighted(maps, weights)


def layercam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Layer-CAM, eqs. 6 and 7."""
    out = torch.zeros_like(maps[0])
    for each, gradient in zip(maps, gradients, strict=True):
        for y in range(out.shape[0]):
            for x in range(out.shape[1]):
                out[y, x] += max(float(gradient[y, x]), 0.0) * each[y, x]
    return out.clamp(min=0)


def scorecam(maps: Tensor, image: Tensor, logits: Answer, target: int) -> Tensor:
    """Score-CAM, eqs. 5 to 7, masks scaled before they are enlarged."""
    increases: list[float] = []
    for each in maps:
        span = float(each.max() - each.min())
        mask = (each - each.min()) / span if span > 0 else torch.zeros_like(each)
        masked = image * bilinear(mask, image.shape[1])
        increases.append(float(logits(masked)[target] - logits(image)[target]))
    total = sum(math.exp(x) for x in increases)
    return _weighted(maps, [math.exp(x) / total for x in increases])


def bilinear(values: Tensor, size: int) -> Tensor:
    """Enlarge to size × size; a pixel's centre is at its half, and edges go on as they are."""
    rows, columns = values.shape
    out = values.new_zeros(size, size)

    def place(index: int, length: int) -> tuple[int, int, float]:
        at = min(max((index + 0.5) * length / size - 0.5, 0.0), length - 1.0)
        low = int(at)
        return low, min(low + 1, length - 1), at - low

    for i in range(size):
        top, bottom, v = place(i, rows)
        for j in range(size):
            left, right, u = place(j, columns)
            upper = (1 - u) * values[top, left] + u * values[top, right]
            lower = (1 - u) * values[bottom, left] + u * values[bottom, right]
            out[i, j] = (1 - v) * upper + v * lower
    return out


def rise(image: Tensor, answer: Answer, target: int, masks: Tensor, keep: float) -> Tensor:
    """RISE, eq. 6."""
    total = torch.zeros_like(image[0])
    for mask in masks:
        total += answer(image * mask)[target] * mask
    return total / (len(masks) * keep)
