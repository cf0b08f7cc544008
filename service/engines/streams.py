"""Whether images of a batch are done sooner beside each other than one after the other: measured as a model is loaded."""

import math
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

TYPICAL_SIDE = 256  # pixels, of the pictures that are timed

_THREADS_A_STREAM = 2  # with four threads and more
_MUST_WIN = 1.05  # times as many images a second: less is noise, and OpenVINO's second compiled model takes memory
_TIMED_RUNS = 3
_TIMED_SECONDS = 0.3  # a large network is run once, and not again

Run = Callable[[NDArray[np.uint8]], object]


def streams_worth_measuring(threads: int) -> int:
    """Images beside each other, each on its share of `threads`; 1 where there is nothing to share."""
    return max(min(threads, 2), threads // _THREADS_A_STREAM)


def are_faster(beside: Run, alone: Run, streams: int, channels: int) -> bool:
    """Whether `beside`, given `streams` images at once, does more images a second than `alone`, given one."""
    one = least_seconds(alone, 1, TYPICAL_SIDE, channels)
    many = least_seconds(beside, streams, TYPICAL_SIDE, channels) / streams
    return one > _MUST_WIN * many


def least_seconds(run: Run, images: int, side: int, channels: int) -> float:
    """Least seconds of a few runs over gray images, after one that is not counted."""
    batch = np.full((images, side, side, channels), 127, np.uint8)
    run(batch)
    least, begun = math.inf, time.perf_counter()
    for _ in range(_TIMED_RUNS):
        started = time.perf_counter()
        run(batch)
        least = min(least, time.perf_counter() - started)
        if time.perf_counter() - begun > _TIMED_SECONDS:
            break
    return least
