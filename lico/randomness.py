"""Random streams that are named by what they are for, so that no order of use changes them."""

import hashlib
import os
import random

import numpy as np
import torch


def stream_seed(*names: str | int) -> int:
    """A 64-bit seed from a stream's name, the same on every machine and in every process."""
    text = "/".join(str(name) for name in names)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(*names: str | int) -> np.random.Generator:
    """A NumPy generator for the named stream, say `generator("augment", seed, epoch, index)`."""
    return np.random.Generator(np.random.Philox(key=stream_seed(*names)))


def torch_generator(*names: str | int) -> torch.Generator:
    """A CPU generator of torch for the named stream."""
    return torch.Generator().manual_seed(stream_seed(*names) >> 1)


def seed_globally(*names: str | int) -> None:
    """Seed the global generators, which initialisers draw from, for the named stream."""
    seed = stream_seed(*names)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (libraries draw from the global state)
    torch.manual_seed(seed >> 1)


def be_deterministic() -> None:
    """Ask torch for algorithms that give the same bits each time, or an error.

    New memory is not filled first, which torch would then do: a third of the calls of a small
    step, and of use only to code that reads what it never wrote.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    torch.backends.cudnn.benchmark = False
