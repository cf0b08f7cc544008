"""What this process does with memory that was freed."""

import ctypes
import os
from contextlib import suppress
from functools import cache

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
_LARGE_BYTES = 4 * 2**20


@cache
def return_large_blocks() -> None:
    """Have blocks from 4 MB on go back to the system as soon as they are freed.

    Once a block of up to 32 MB was freed, glibc takes the next ones of that size from the heap of
    the thread that asks, where they stay and leave gaps: a quarter of what a map takes at its
    highest. A threshold that is said is not raised (mallopt(3)). It costs a map nothing, but a
    photograph of 12 megapixels up to 1.5 times the CPU time, so a server does it in its jobs alone.
    Nothing is done where the C library has no such function, or where MALLOC_MMAP_THRESHOLD_ says
    another.
    """
    if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
