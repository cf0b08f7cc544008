"""How many batches run beside each other on a CPU, the threads shared among them; where it can be,
it is measured as a model is loaded.
"""

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

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


class Cost(NamedTuple):
    """Seconds that went by, and seconds of all this process' threads on a core.

    What else the machine does makes the first longer, by any factor, and hardly the second.
    """

    wall: float
    cpu: float

    def least(self, other: "Cost") -> "Cost":
        return Cost(min(self.wall, other.wall), min(self.cpu, other.cpu))


class Company:
    """Whether batches run beside each other in these moments.

    Between two batches of a busy stream its picture is written and the next one decoded. What
    begins meanwhile finds no other running, and will soon have one beside it.
    """

    def __init__(self) -> None:
        self._the_last_had_some = False

    def is_near(self, *, others_run: bool) -> bool:
        """For a batch that begins now: whether it, or the one before it, found others running."""
        near = others_run or self._the_last_had_some
        self._the_last_had_some = others_run
        return near


_NONE_YET = Cost(math.inf, math.inf)


def streams_pay_off(
    beside: Run,
    alone: Run,
    streams: int,
    channels: int,
    size: tuple[int, int] = TYPICAL_SIZE,
) -> bool:
    """Whether `beside`, called from `streams` threads at once, does more images a second than
    `alone`, or takes less of the cores for one, or nearly: a machine that is busy as a model is
    loaded errs by so much, and under load streams lose less.

    Each does several images in a row, since threads that have just woken say little of load.
    """
    image = np.full((1, *size, channels), 127, np.uint8)
    in_a_row = max(1, min(_MOST_IN_A_ROW, int(_SECONDS_IN_A_ROW / _cost(alone, image, 1).wall)))
    one = many = _NONE_YET
    with ThreadPoolExecutor(streams) as pool:

        def run_beside(images: NDArray[np.uint8]) -> None:
            list(pool.map(lambda _: _cost(beside, images, in_a_row), range(streams)))

        run_beside(image)
        begun = time.perf_counter()
        for _ in range(_TIMED_RUNS):
            one = one.least(_cost(alone, image, streams * in_a_row))
            many = many.least(_cost(run_beside, image, 1))
            clearly = many.wall < one.wall and many.cpu < one.cpu
            if clearly or time.perf_counter() - begun > _TIMED_SECONDS:
                break
    return many.wall < _NEARLY * one.wall or many.cpu < _NEARLY * one.cpu


def _cost(run: Run, images: NDArray[np.uint8], times: int) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        run(images)
    return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def least_cpu_seconds(run: Run, images: int, size: tuple[int, int], channels: int) -> float:
    """Of a few runs over gray images, after one that is not counted: as `Cost.cpu`."""
    batch = np.full((images, *size, channels), 127, np.uint8)
    run(batch)
    least, begun = _NONE_YET, time.perf_counter()
    for _ in range(_TIMED_RUNS):
        least = least.least(_cost(run, batch, 1))
        if time.perf_counter() - begun > _TIMED_SECONDS:
            break
    return least.cpu


def described(threads: int, streams: int) -> str:
    """For a log."""
    count = "1 thread" if threads == 1 else f"{threads} threads"
    return f"{count}, {streams} batches beside each other" if streams > 1 else count
