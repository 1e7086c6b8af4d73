"""Memory that is freed, kept from step to step."""

import ctypes
from contextlib import suppress

# Parameters of GNU's mallopt, from its malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_KEPT = 2**30  # bytes; a larger tensor still goes back to the system when it is freed
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed; whether it can.

    A training step frees its activations, and the next one needs as much again. By default GNU's
    library gives large blocks back to the system and asks for them anew, page by page: 100,000 page
    faults a step at 224 pixels. For the whole process; what it holds stays at its peak.
    """
    with suppress(OSError, AttributeError):  # another C library, or another system
        library = ctypes.CDLL(None)
        kept = library.mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        return bool(kept and library.mallopt(_TRIM_THRESHOLD, _NEVER))
    return False
