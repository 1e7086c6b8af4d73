"""Slow references, written from the equations, loop by loop."""

import math

import torch
from torch import Tensor


def unit(row: Tensor) -> Tensor:
    norm = row.norm()
    return row / norm if norm > 0 else row * 0


def manifold_matching(images: Tensor, text: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    """Eqs. 1 and 2, pair by pair."""
    size = len(images)

    def adjacency(rows: list[Tensor]) -> list[list[Tensor]]:
        result: list[list[Tensor]] = []
        for i in range(size):
            exponents: list[Tensor] = []
            for j in range(size):
                squared = ((rows[i] - rows[j]) ** 2).sum()
                distance = squared.sqrt() if squared > 0 else squared * 0
                exponents.append((-distance * scale).exp())
            total = torch.stack(exponents).sum()
            result.append([e / total for e in exponents])
        return result

    a_f = adjacency([unit(row) for row in images])
    a_g = adjacency([unit(text[int(label)]) for label in labels])
    loss = images.new_zeros(())
    for i in range(size):
        for j in range(size):
            loss = loss + a_g[i][j] * (a_g[i][j].log() - a_f[i][j].log())
    return loss / size


def optimal_transport(
    maps: Tensor,
    tokens: Tensor,
    epsilon: float,
    iterations: int,
    threshold: float,
    *,
    unrolled: bool,
) -> tuple[Tensor, Tensor, int]:
    """Eqs. 3 to 5 in cost units, as the published update has it, with autograd throughout."""
    size, n, _ = maps.shape
    m = tokens.shape[1]
    cost = torch.stack(
        [
            torch.stack(
                [
                    torch.stack(
                        [((unit(maps[b, i]) - unit(tokens[b, j])) ** 2).sum() for j in range(m)]
                    )
                    for i in range(n)
                ]
            )
            for b in range(size)
        ]
    )
    fixed = cost if unrolled else cost.detach()
    u, v = fixed.new_zeros(size, n), fixed.new_zeros(size, m)
    made = 0
    for _ in range(iterations):
        previous = u
        scores = (-fixed + u[:, :, None] + v[:, None, :]) / epsilon
        u = epsilon * (math.log(1 / n) - torch.logsumexp(scores, 2)) + u
        scores = (-fixed + u[:, :, None] + v[:, None, :]) / epsilon
        v = epsilon * (math.log(1 / m) - torch.logsumexp(scores, 1)) + v
        made += 1
        if (u - previous).abs().sum(1).mean() < threshold:
            break
    plan = ((-fixed + u[:, :, None] + v[:, None, :]) / epsilon).exp()
    return (plan * cost).sum((1, 2)).mean(), plan.detach(), made
