"""Newton's steps of regularised transport in Triton: one program a sample.

The steps of `lico.losses.newton`, in double precision. The state of a sample is what the tokens'
potential has moved by, M numbers; the plan is made again from it, some columns at a time.
"""

# pyright: basic, reportArgumentType=false, reportIndexIssue=false, reportOperatorIssue=false
# pyright: reportGeneralTypeIssues=false, reportCallIssue=false
import triton
import triton.language as tl

from lico.losses.sinkhorn_kernels import NOTHING


@triton.jit
def _plan(log_plan, moved, sample, start, m, m_size, n_size, block_n: tl.constexpr):
    """Some columns of the plan, each with sum 1/N, after the tokens' potential has moved."""
    n = start + tl.arange(0, block_n)
    inside = (m[:, None] < m_size) & (n[None, :] < n_size)
    place = sample * m_size * n_size + m[:, None] * n_size + n[None, :]
    logs = tl.load(log_plan + place, mask=inside, other=0.0).to(tl.float64) + moved[:, None]
    logs = tl.where(inside, logs, NOTHING)
    powers = tl.exp(logs - tl.max(logs, 0)[None, :])
    scale = 1 / (tl.sum(powers, 0) * n_size)
    plan = tl.where(inside, powers * scale[None, :], 0.0)
    return place, inside, plan


@triton.jit
def _solve(matrix, right, m, m_size):
    """Elimination, pivots on the diagonal; whether the matrix was positive definite."""
    definite = True
    for k in range(m_size):
        row = tl.sum(tl.where(m[:, None] == k, matrix, 0.0), 0)
        column = tl.sum(tl.where(m[None, :] == k, matrix, 0.0), 1)
        pivot = tl.sum(tl.where(m == k, column, 0.0), 0)
        definite = definite & (pivot > 0)
        factor = tl.where(m == k, 0.0, column * (1 / pivot))
        right -= factor * tl.sum(tl.where(m == k, right, 0.0), 0)
        matrix -= factor[:, None] * row[None, :]
    diagonal = tl.sum(tl.where(m[:, None] == m[None, :], matrix, 0.0), 1)
    return right / diagonal, definite


@triton.jit
def _best_length(
    log_plan, moved, step, span, sample, m, m_size, n_size, farthest, halvings,
    block_n: tl.constexpr,
):  # fmt: skip
    """The part of the step that raises the dual most: all of it, halvings (at most 6), damped."""
    which = tl.arange(0, 8)
    lengths = tl.exp2(-which.to(tl.float64))
    damped = tl.log(1 + span) / span
    lengths = tl.where(which == halvings + 1, damped, lengths)
    logs = tl.zeros([8], tl.float64)
    for start in range(0, n_size, block_n):
        _, _, plan = _plan(log_plan, moved, sample, start, m, m_size, n_size, block_n)
        some = (start + tl.arange(0, block_n)) < n_size
        for k in range(halvings + 2):
            length = tl.sum(tl.where(which == k, lengths, 0.0), 0)
            move = tl.minimum(tl.maximum(length * step, -farthest), farthest)
            sums = n_size * tl.sum(plan * tl.exp(move)[:, None], 0)
            total = tl.sum(tl.where(some, tl.log(tl.where(some, sums, 1.0)), 0.0), 0)
            logs += tl.where(which == k, total, 0.0)
    gains = lengths * tl.sum(step, 0) / m_size - logs / n_size
    allowed = (which < halvings + 2) & (lengths * tl.max(tl.abs(step), 0) <= farthest)
    gains = tl.where(allowed & (tl.abs(gains) < 1e300), gains, -1e300)
    best = tl.min(tl.where(gains == tl.max(gains, 0), which, 8), 0)
    return tl.sum(tl.where(which == best, lengths, 0.0), 0)


@triton.jit
def solve(
    log_plan, solved, m_size, n_size, most_steps, tolerance, near, farthest, halvings,
    block_m: tl.constexpr, block_n: tl.constexpr,
):  # fmt: skip
    """Make Newton's steps of one sample, and keep the plan with its rows made right."""
    sample = tl.program_id(0).to(tl.int64)
    m = tl.arange(0, block_m)
    token = m < m_size
    even = tl.where(token, tl.full([block_m], 1.0, tl.float64) / m_size, 0.0)
    moved = tl.zeros([block_m], tl.float64)
    rows = tl.zeros([block_m], tl.float64)
    made = 0
    left = 2  # passes: the tolerance is reached, one more step, the rows of where it led
    while left > 0:
        rows = tl.zeros([block_m], tl.float64)
        products = tl.zeros([block_m, block_m], tl.float64)
        for start in range(0, n_size, block_n):
            _, _, plan = _plan(log_plan, moved, sample, start, m, m_size, n_size, block_n)
            rows += tl.sum(plan, 1)
            products = tl.dot(plan, tl.trans(plan), products, out_dtype=tl.float64)
        if (left == 1) | (made == most_steps):
            left = 0
        else:
            missing = even - rows
            matrix = even[:, None] * even[None, :] - n_size * products
            on_diagonal = tl.where(token, rows, 1.0)
            matrix += tl.where(m[:, None] == m[None, :], on_diagonal[:, None], 0.0)
            step, definite = _solve(matrix, missing, m, m_size)
            size = tl.sum(tl.abs(step), 0)
            if (definite & (size < 1e300)) == 0:
                step = tl.where(token, tl.log(even) - tl.log(rows), 0.0)
            highest = tl.max(tl.where(token, step, -1e300), 0)
            span = highest - tl.min(tl.where(token, step, 1e300), 0)
            length = tl.full([], 1.0, tl.float64)
            if span >= near:
                length = _best_length(
                    log_plan, moved, step, span, sample, m, m_size, n_size, farthest, halvings,
                    block_n,
                )  # fmt: skip
            moved += length * step
            made += 1
            if tl.sum(tl.abs(missing), 0) < tolerance:
                left = 1
    for start in range(0, n_size, block_n):
        place, inside, plan = _plan(log_plan, moved, sample, start, m, m_size, n_size, block_n)
        right = plan * (even / tl.where(token, rows, 1.0))[:, None]
        tl.store(solved + place, right, mask=inside)
