"""An engine that solves the solvable model in numpy, and can be held, made to fail, and asked what
it ran.
"""

import asyncio
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.runtimes.engine import logits_of

TIMEOUT_SECONDS = 300.0


class HeldEngine:
    """Classes are the strongest channel. While held, a batch waits inside; a batch for which
    `fails` is true raises.
    """

    name = "held"
    reason = "it is a test"
    device = "CPU"
    device_reason = "it is a test"
    precision = "fp32"
    best_batch = 4
    best_batch_pixels = 2**40
    streams = 1
    light_class_maps = probabilities_on_demand = False
    logits_factor, stages = 0, None

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.fails: Callable[[NDArray[np.uint8]], bool] = lambda _: False
        self.closings = 0
        self.threads: set[int] = set()
        self._free = threading.Event()
        self._free.set()

    def hold(self) -> None:
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        strongest: NDArray[np.uint8] = self.probabilities(images).argmax(axis=-1).astype(np.uint8)
        return strongest

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(images.shape)
        self.threads.add(threading.get_ident())
        assert self._free.wait(TIMEOUT_SECONDS)
        if self.fails(images):
            raise RuntimeError("the device fell over")
        values = images.astype(np.float32) + 1e-3
        shares: NDArray[np.float32] = values / values.sum(axis=-1, keepdims=True)
        return shares

    def logits(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
        return logits_of(self.probabilities(images)), 1

    def close(self) -> None:
        self.closings += 1


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another task or thread is about to do."""
    limit = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        await asyncio.sleep(0.001)
