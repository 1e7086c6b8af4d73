"""Random streams that are named by what they are for, so that no order of use changes them."""

import hashlib
import random

import numpy as np
import torch


def stream_seed(*names: str | int) -> int:
    """A 64-bit seed from a stream's name, the same on every machine and in every process."""
    text = "/".join(str(name) for name in names)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(*names: str | int) -> np.random.Generator:
    """A NumPy generator for the named stream, for example `generator("augment", seed, epoch, i)`."""
    return np.random.Generator(np.random.Philox(key=stream_seed(*names)))


def torch_generator(*names: str | int) -> torch.Generator:
    """A CPU generator of torch for the named stream."""
    return torch.Generator().manual_seed(stream_seed(*names) >> 1)


def seed_everything(seed: int) -> None:
    """Seed the global generators and ask for deterministic algorithms."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries draw from the global state)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True, warn_only=False)
    torch.backends.cudnn.benchmark = False
