"""The learning rate of each step."""

import math


def cosine_7_16(step: int, total_steps: int, initial: float) -> float:
    """η_k = η_0 cos(7πk / 16K): from η_0 down to about 0.195 η_0.

    Args:
        step: k, from 0.
        total_steps: K.
        initial: η_0.

    Source: the reproduction study, section 3.3.
    """
    return initial * math.cos(7 * math.pi * step / (16 * total_steps))
