"""Sinkhorn's iteration in Triton: one program a sample, the whole problem in on-chip memory.

The same steps as `lico.losses.sinkhorn`, on the logarithm of the plan itself,

    A = L + df, df = -log N - LSE_m L,   L' = A + dg, dg = -log M - LSE_n A,   L₀ = -C/ε,

so that single precision suffices: what counts in L is near zero, and only -C/ε itself is rounded
at its size.
"""

# pyright: basic, reportArgumentType=false, reportIndexIssue=false
import triton
import triton.language as tl

NOTHING: tl.constexpr = tl.constexpr(
    -1e30
)  # the logarithm outside of the problem: finite, exp is 0


@triton.jit
def _load(matrix, sample, m, n, m_size, n_size, other: tl.constexpr):
    inside = (m[:, None] < m_size) & (n[None, :] < n_size)
    place = sample * m_size * n_size + m[:, None] * n_size + n[None, :]
    return place, inside, tl.load(matrix + place, mask=inside, other=other)


@triton.jit
def _minus_log_sum_exp(x, axis: tl.constexpr, log_count):
    largest = tl.max(x, axis)
    return -log_count - largest - tl.log(tl.sum(tl.exp(x - tl.expand_dims(largest, axis)), axis))


@triton.jit
def iterate(
    cost, df_kept, dg_kept, moved, steps, epsilon, log_m, log_n, m_size, n_size,
    block_m: tl.constexpr, block_n: tl.constexpr,
):  # fmt: skip
    """Make every step of one sample; keep its changes and Σ_n |df|."""
    sample = tl.program_id(0).to(tl.int64)
    m, n = tl.arange(0, block_m), tl.arange(0, block_n)
    _, inside, c = _load(cost, sample, m, n, m_size, n_size, 0.0)
    log_plan = tl.where(inside, -c / epsilon, NOTHING)
    for step in range(steps):
        row = sample * steps + step
        df = tl.where(n < n_size, _minus_log_sum_exp(log_plan, 0, log_n), 0.0)
        log_plan += df[None, :]
        tl.store(df_kept + row * n_size + n, df, mask=n < n_size)
        tl.store(moved + row, tl.sum(tl.abs(df), 0))
        dg = tl.where(m < m_size, _minus_log_sum_exp(log_plan, 1, log_m), 0.0)
        log_plan += dg[:, None]
        tl.store(dg_kept + row * m_size + m, dg, mask=m < m_size)


@triton.jit
def replay(
    cost, df_kept, dg_kept, made, kept, steps, epsilon, m_size, n_size,
    block_m: tl.constexpr, block_n: tl.constexpr,
):  # fmt: skip
    """The logarithm of the plan after the last step that counts, from the changes."""
    sample = tl.program_id(0).to(tl.int64)
    m, n = tl.arange(0, block_m), tl.arange(0, block_n)
    place, inside, c = _load(cost, sample, m, n, m_size, n_size, 0.0)
    log_plan = tl.where(inside, -c / epsilon, NOTHING)
    for step in range(tl.load(made)):
        row = sample * steps + step
        log_plan += tl.load(df_kept + row * n_size + n, mask=n < n_size, other=0.0)[None, :]
        log_plan += tl.load(dg_kept + row * m_size + m, mask=m < m_size, other=0.0)[:, None]
    tl.store(kept + place, log_plan, mask=inside)


@triton.jit
def adjoint(
    kept, df_kept, dg_kept, made, grad_plan, grad_cost, steps, epsilon, m_size, n_size,
    block_m: tl.constexpr, block_n: tl.constexpr,
):  # fmt: skip
    """Back through the steps that count.

    dA = dL' - M P' Σ_n dL',   dL = dA - N exp(A) Σ_m dA,   dC = -dL₀/ε.
    """
    sample = tl.program_id(0).to(tl.int64)
    m, n = tl.arange(0, block_m), tl.arange(0, block_n)
    place, inside, log_plan = _load(kept, sample, m, n, m_size, n_size, NOTHING)
    grad = tl.load(grad_plan + place, mask=inside, other=0.0) * tl.exp(log_plan)
    last = tl.load(made)
    for back in range(last):
        row = sample * steps + last - 1 - back
        dg = tl.load(dg_kept + row * m_size + m, mask=m < m_size, other=0.0)
        df = tl.load(df_kept + row * n_size + n, mask=n < n_size, other=0.0)
        grad -= m_size * tl.exp(log_plan) * tl.sum(grad, 1)[:, None]
        log_plan -= dg[:, None]
        grad -= n_size * tl.exp(log_plan) * tl.sum(grad, 0)[None, :]
        log_plan -= df[None, :]
    tl.store(grad_cost + place, -grad / epsilon, mask=inside)
