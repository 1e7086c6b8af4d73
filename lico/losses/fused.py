"""Where Triton's kernels take over from plain PyTorch."""

from importlib.util import find_spec

from torch import Tensor

DEVICES = frozenset({"cuda"})


def runs_kernels(x: Tensor) -> bool:
    """Whether kernels can be run where this tensor is."""
    return x.device.type in DEVICES and find_spec("triton") is not None
