"""How many batches run beside each other on a CPU, the threads shared among them; where it can be,
it is measured as a model is loaded.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

TYPICAL_SIZE = 256, 256  # pixels (H, W), of the pictures that are timed

_THREADS_A_STREAM = 2  # with four threads and more
_TIMED_RUNS = 3
_NEARLY = 1.1
_MOST_IN_A_ROW, _SECONDS_IN_A_ROW = 8, 0.03
_TIMED_SECONDS = 0.3  # a large network is run once, and not again

Run = Callable[[NDArray[np.uint8]], object]


def max_streams(threads: int) -> int:
    """Batches beside each other that are worth it, each on its share of `threads`; 1 where there is
    nothing to share.
    """
    return max(min(threads, 2), threads // _THREADS_A_STREAM)


def streams_pay_off(
    beside: Run,
    alone: Run,
    streams: int,
    channels: int,
    size: tuple[int, int] = TYPICAL_SIZE,
) -> bool:
    """Whether `beside`, called from `streams` threads at once, does more images a second than
    `alone`, or nearly as many: a machine that is busy as a model is loaded errs by so much, and
    under load streams lose less.

    Each does several images in a row, since threads that have just woken say little of load.
    """
    image = np.full((1, *size, channels), 127, np.uint8)
    in_a_row = max(1, min(_MOST_IN_A_ROW, int(_SECONDS_IN_A_ROW / _seconds(alone, image, 1))))
    one = many = math.inf
    with ThreadPoolExecutor(streams) as pool:

        def run_beside(images: NDArray[np.uint8]) -> None:
            list(pool.map(lambda _: _seconds(beside, images, in_a_row), range(streams)))

        run_beside(image)
        begun = time.perf_counter()
        for _ in range(_TIMED_RUNS):
            one = min(one, _seconds(alone, image, streams * in_a_row))
            many = min(many, _seconds(run_beside, image, 1))
            if time.perf_counter() - begun > _TIMED_SECONDS:
                break
    return many < _NEARLY * one


def _seconds(run: Run, images: NDArray[np.uint8], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        run(images)
    return time.perf_counter() - started


def least_seconds(run: Run, images: int, size: tuple[int, int], channels: int) -> float:
    """Least seconds of a few runs over gray images, after one that is not counted."""
    batch = np.full((images, *size, channels), 127, np.uint8)
    run(batch)
    least, begun = math.inf, time.perf_counter()
    for _ in range(_TIMED_RUNS):
        started = time.perf_counter()
        run(batch)
        least = min(least, time.perf_counter() - started)
        if time.perf_counter() - begun > _TIMED_SECONDS:
            break
    return least


def described(threads: int, streams: int) -> str:
    """For a log."""
    count = "1 thread" if threads == 1 else f"{threads} threads"
    return f"{count}, {streams} batches beside each other" if streams > 1 else count
