"""Sinkhorn's iteration for a batch of small problems, and its exact adjoint.

The iteration alternates between two potentials,

    f_k = log 1/N - LSE_m(g_{k-1} - C/ε),   g_k = log 1/M - LSE_n(f_k - C/ε),   g_0 = 0.

Its first step is made as written. Later ones multiply: with K = exp(f + g - C/ε) at the potentials
f, g that have been reached, a step from there is

    a = 1 / (N Kᵀb),   b = 1 / (M K a),   f + log a and g + log b the new potentials,

which needs two small matrix products instead of two passes of exponentials and maxima. No factor
may leave the range of the numbers, so K is formed again in time: both potentials change by at
most what f changed by one step earlier (each step is a contraction in the maximum norm), which
bounds the drift in advance. All is in double precision, for its range as much as for its digits:
C/ε may be 40,000, and in single precision K would have to be formed every few steps.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from lico.data_parallel import Parts, of_all

LARGEST_DRIFT = 100.0  # a and b stay within e^±100
LONGEST_BLOCK = 32  # steps between two looks at the convergence
# Entries of K below e^LOWEST are zero: whatever the drift, they are below 1e-80 of any sum. Kept as
# they are they would turn into denormal numbers, which processors treat ten times slower.
LOWEST_EXPONENT = -400.0
CACHED_ENTRIES = 300_000  # of K, 2.4 MB, in samples that are worked on at a time


class Iteration(Protocol):
    """How transport was solved: by this iteration, wherever it ran, or further."""

    @property
    def iterations(self) -> Tensor:
        """How many steps were made."""
        ...

    def log_plan(self) -> Tensor:
        """log P, [batch, m, n]."""
        ...

    def plan(self) -> Tensor:
        """P, [batch, m, n]."""
        ...

    def adjoint(self, grad_plan: Tensor) -> Tensor:
        """The gradient to the cost, given that to the plan."""
        ...


class Block(NamedTuple):
    """Steps from one kernel K.

    Attributes:
        f: [batch, 1, n], what the first potential had changed by before these steps.
        g: [batch, m, 1], and the second.
        a: [steps, batch, n], factors of the first side after each step.
        b: [steps, batch, m], and of the second.
    """

    f: Tensor
    g: Tensor
    a: Tensor
    b: Tensor

    def of(self, samples: slice) -> "Block":
        """Those of some samples."""
        return Block(self.f[samples], self.g[samples], self.a[:, samples], self.b[:, samples])

    def first(self, steps: int) -> "Block":
        """The first of its steps."""
        return self._replace(a=self.a[:steps], b=self.b[:steps])

    def after(self) -> tuple[Tensor, Tensor]:
        """What the potentials have changed by when its steps are made."""
        return self.f + self.a[-1, :, None].log(), self.g + self.b[-1, :, :, None].log()


@dataclass(frozen=True)
class Iterates:
    """Everything that Sinkhorn's iteration went through; potentials in double precision.

    Attributes:
        cost: [batch, m, n], C.
        first_f: [batch, 1, n], f_1.
        first_g: [batch, m, 1], g_1.
        blocks: the steps after the first.
        made: how many steps in all.
        epsilon: ε.
    """

    cost: Tensor
    first_f: Tensor
    first_g: Tensor
    blocks: list[Block]
    made: int
    epsilon: float

    @property
    def iterations(self) -> Float[Tensor, ""]:
        """How many steps were made."""
        return torch.tensor(float(self.made))

    def log_plan(self) -> Float[Tensor, "batch m n"]:
        """f + g - C/ε after the last step, in double precision."""
        return self._after_last(slice(None))

    def plan(self) -> Float[Tensor, "batch m n"]:
        """P = exp(f + g - C/ε) after the last step, in the cost's precision."""
        plan = torch.empty_like(self.cost)
        for samples in some_samples(plan):
            plan[samples] = _exp(self._after_last(samples))
        return plan

    def adjoint(self, grad_plan: Float[Tensor, "batch m n"]) -> Float[Tensor, "batch m n"]:
        """The gradient to the cost, given that to the plan, through every step that was made.

        Of each step N + M numbers a sample are kept, instead of several times N·M.
        """
        grads = torch.empty_like(grad_plan)
        for samples in some_samples(grads):
            grads[samples] = self._pass_back(grad_plan[samples], samples)
        return grads

    def _pass_back(
        self, grad_plan: Float[Tensor, "some m n"], samples: slice
    ) -> Float[Tensor, "some m n"]:
        """From the adjoint of log P to that of -C/ε; those of f_k and g_k pass on."""
        grad = _exp(self._after_last(samples)).mul_(grad_plan)
        first = self.after_first(samples)
        _, m, n = first.shape
        grad_f: Tensor | None = grad.sum(1, keepdim=True)
        grad_g = grad.sum(2)[:, None]
        for block in reversed(self.blocks):
            part = block.of(samples)
            grad_g, added = _block_adjoint(part, _kernel(first, part.f, part.g), grad_f, grad_g)
            grad += added
            grad_f = None  # f passes on to g alone, but for the last
        softmax = _exp(first.clone()).mul_(m).mul_(grad_g.mT)
        change = softmax.sum(1, keepdim=True)
        grad_f = -change if grad_f is None else grad_f - change
        grad -= softmax
        grad -= _exp(first.sub_(self.first_g[samples])).mul_(n).mul_(grad_f)
        return grad.div_(-self.epsilon)

    def after_first(self, samples: slice) -> Float[Tensor, "some m n"]:
        """log P₁ = f_1 + g_1 - C/ε of some samples."""
        exponents = _exponents(self.cost[samples], self.epsilon)
        return exponents.add_(self.first_f[samples]).add_(self.first_g[samples])

    def _after_last(self, samples: slice) -> Float[Tensor, "some m n"]:
        """log P."""
        first = self.after_first(samples)
        if self.blocks:
            f, g = self.blocks[-1].of(samples).after()
            first.add_(f).add_(g)
        return first


@torch.no_grad()
def sinkhorn(
    cost: Float[Tensor, "batch m n"],
    epsilon: float,
    max_iterations: int,
    threshold: float,
    parts: Parts | None = None,
) -> Iterates:
    """Iterate until the first potential hardly changes.

    Args:
        cost: C; fastest if m ≤ n.
        epsilon: in units of the cost.
        max_iterations: at most so many steps of both potentials, at least 1.
        threshold: stop when the batch mean of Σ_n ε|f_k - f_{k-1}|, f_0 = 0, is below it.
        parts: if `cost` is one process's part of a batch; the mean is then over the whole.

    Source: Cuturi (NeurIPS 2013); absorption into the kernel as in Schmitzer (SIAM J. Sci. Comput.
    41, 2019), section 3.
    """
    batch, m, n = cost.shape
    parts = parts or Parts((batch,))
    f = cost.new_empty(batch, 1, n, dtype=torch.float64)
    g = cost.new_empty(batch, m, 1, dtype=torch.float64)
    for samples in some_samples(cost):
        exponents = _exponents(cost[samples], epsilon)
        f[samples] = -math.log(n) - exponents.logsumexp(1, keepdim=True)
        g[samples] = -math.log(m) - exponents.add_(f[samples]).logsumexp(2, keepdim=True)
    found = Iterates(cost, f, g, [], 1, epsilon)
    (first,), _ = _over_all(epsilon * f.abs().sum(2).mean().view(1), f.new_zeros(1), parts)
    if first < threshold:
        return found
    reached = torch.zeros_like(f), torch.zeros_like(g)
    change = math.log(max(m, n))  # the most that the second step can make
    while found.made < max_iterations and math.isfinite(change):
        steps = int(LARGEST_DRIFT / max(change, LARGEST_DRIFT / LONGEST_BLOCK))
        block = _steps(found, *reached, max(1, min(steps, max_iterations - found.made)))
        moved = _changes(block.a)
        means, largest = epsilon * moved.sum(2).mean(1), moved[-1].amax().view(1)
        sums, change = _over_all(means, largest, parts)
        enough = next((i for i, each in enumerate(sums, 1) if each < threshold), None)
        block = block.first(enough or len(sums))
        found = replace(found, blocks=[*found.blocks, block], made=found.made + len(block.a))
        reached = block.after()
        if enough:
            break
    return found


def some_samples(problems: Float[Tensor, "batch m n"]) -> Iterator[slice]:
    """A few samples at a time, whose kernels stay in a processor's cache; on a GPU all at once."""
    batch, m, n = problems.shape
    pieces = math.ceil(batch * m * n / CACHED_ENTRIES) if problems.device.type == "cpu" else 1
    size = math.ceil(batch / pieces) if pieces else 1
    for start in range(0, batch, size):
        yield slice(start, start + size)


def _over_all(means: Tensor, largest: Tensor, parts: Parts) -> tuple[list[float], float]:
    """Means and a maximum over this process's part, as they are over the whole batch."""
    every = of_all(torch.cat([means, largest]), parts).tolist()
    weights = [size / sum(parts.sizes) for size in parts.sizes]
    columns = list(zip(*every, strict=True))
    sums = [math.fsum(w * x for w, x in zip(weights, each, strict=True)) for each in columns[:-1]]
    return sums, max(columns[-1])


def _steps(found: Iterates, f: Tensor, g: Tensor, count: int) -> Block:
    """Go on from where the potentials have changed by f and g."""
    batch, m, n = found.cost.shape
    block = Block(f, g, f.new_empty(count, batch, n), g.new_empty(count, batch, m))
    for samples in some_samples(found.cost):
        part = block.of(samples)
        kernel = _kernel(found.after_first(samples), part.f, part.g)
        before = torch.ones_like(part.b[0])[:, None]
        for next_a, next_b in zip(part.a[:, :, None], part.b[:, :, None], strict=True):
            torch.bmm(before, kernel, out=next_a).reciprocal_()
            torch.baddbmm(next_b, next_a, kernel.mT, beta=0, alpha=m / n, out=next_b).reciprocal_()
            before = next_b
    return block


def _changes(a: Float[Tensor, "steps batch n"]) -> Float[Tensor, "steps batch n"]:
    """What f changed by in each step, |Δ log a| ≤ log max(N, M), in single precision."""
    ratios = a.clone()
    ratios[1:].div_(a[:-1])
    return ratios.sub_(1).float().log1p_().abs_()


def _block_adjoint(
    block: Block, kernel: Tensor, grad_f: Tensor | None, grad_g: Tensor
) -> tuple[Tensor, Tensor]:
    """The adjoint of g before the block, and what the block adds to that of -C/ε.

    A step's softmax over n is M/N·diag(b)·K·diag(a), K the block's kernel, and over m
    diag(b')·K·diag(a) with b' of the step before. Their products with the adjoints x = -M/N·b·∂g of
    the one and y = a·∂f of the other are vectors; the sum over steps is two matrix products.
    """
    a, b = block.a, block.b
    _, m, n = kernel.shape
    steps = len(a)
    x, y = b.new_empty(steps, *grad_g.shape), a.new_empty(steps, len(kernel), 1, n)
    twice_b = (b.square() * (m / n))[:, :, None]
    torch.mul(b[-1, :, None] * (-m / n), grad_g, out=x[-1])
    rows = (each.unbind() for each in (x, y, a[:, :, None]))
    behind = [None, *zip(x.unbind(), twice_b.unbind(), strict=True)][:-1]
    for row_x, row_y, row_a, next_x in reversed(list(zip(*rows, behind, strict=True))):
        torch.bmm(row_x, kernel, out=row_y).mul_(row_a)
        if grad_f is not None:
            row_y.add_(grad_f)
            grad_f = None
        row_y.mul_(row_a)
        if next_x is not None:
            torch.bmm(row_y, kernel.mT, out=next_x[0]).mul_(next_x[1])
    before = torch.cat([torch.ones_like(b[:1]), b[:-1]])
    added = torch.bmm(x[:, :, 0].permute(1, 2, 0), a.transpose(0, 1))
    of_f = before.permute(1, 2, 0), y[:, :, 0].transpose(0, 1)
    return -torch.bmm(y[0], kernel.mT), added.baddbmm_(*of_f, alpha=-1).mul_(kernel)


def _exponents(cost: Tensor, epsilon: float) -> Tensor:
    """-C/ε in double precision."""
    return cost.double() / -epsilon


def _kernel(first: Tensor, f: Tensor, g: Tensor) -> Tensor:
    """N·exp(log P₁ + f + g)."""
    return _exp((first + f).add_(g)).mul_(first.shape[2])


def _exp(x: Tensor) -> Tensor:
    """exp in place of numbers that are at most about 0, with what is negligible set to zero."""
    x = x.clamp_min_(LOWEST_EXPONENT).exp_()
    return torch.threshold_(x, 1.001 * math.exp(LOWEST_EXPONENT), 0.0)
