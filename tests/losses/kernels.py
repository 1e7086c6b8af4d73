"""Triton's kernels on a machine without a GPU: interpreted, and compiled to machine code."""

import multiprocessing
from collections.abc import Callable
from typing import Any

import pytest
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_kernel

from lico.losses import newton_fused, sinkhorn_fused

KERNELS = [(sinkhorn_fused, name) for name in ("iterate", "replay", "adjoint")]
KERNELS += [(newton_fused, "solve")]  # where each is launched
CAPABILITIES = [80, 89, 90]  # A100, RTX 4090, H100


def interpreted(function: Callable[[list[Any]], list[Any]], cases: list[Any]) -> dict[Any, Any]:
    """Each case and what the function makes of it, in a process of its own.

    Triton decides when it is imported whether to interpret.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return dict(zip(cases, pool.apply(function, (cases,)), strict=True))


def compiled(kernel: Any, kinds: dict[str, str], options: dict[str, Any], capability: int) -> bytes:
    """Machine code of a kernel; what is of no kind points to single-precision numbers."""
    blocks = {name: value for name, value in options.items() if name.startswith("block")}
    signature = {
        name: "constexpr" if name in blocks else kinds.get(name, "*fp32")
        for name in kernel.arg_names
    }
    target = GPUTarget("cuda", capability, 32)
    built = compile_kernel(
        ASTSource(kernel, signature, blocks),
        target=target,
        options={name: value for name, value in options.items() if name not in blocks},
    )
    return built.asm["cubin"]
