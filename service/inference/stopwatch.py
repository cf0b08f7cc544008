"""Counts where one request's time goes."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from service.inference.answer import Timings
from service.inference.observer import Stage
from service.inference.runner import InferenceResult

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Stopwatch:
    """What is not spent in a stage was spent waiting. `workers` decode and encode."""

    workers: ThreadPoolExecutor
    _started: float = field(default_factory=time.monotonic)
    _seconds: dict[Stage, float] = field(default_factory=dict)
    _batches: set[int] = field(default_factory=set)

    async def run(self, stage: Stage, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work` on a worker thread, and count its time there as `stage`."""

        def timed() -> tuple[T, float]:
            started = time.monotonic()
            return work(*args, **kwargs), time.monotonic() - started

        result, seconds = await asyncio.get_running_loop().run_in_executor(self.workers, timed)
        self._add(stage, seconds)
        return result

    def run_here(self, stage: Stage, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, on the thread that calls: the event loop's for what takes less time than the
        way to a worker.
        """
        started = time.monotonic()
        result = work(*args, **kwargs)
        self._add(stage, time.monotonic() - started)
        return result

    def ran(self, ran: InferenceResult) -> None:
        """Count a batch once, however many of this request's tiles it held."""
        if ran.batch not in self._batches:
            self._batches.add(ran.batch)
            self._add("infer", ran.seconds)

    def timings(self) -> Timings:
        decode, infer, encode = (
            self._seconds.get(stage, 0.0) for stage in ("decode", "infer", "encode")
        )
        others = max(0.0, time.monotonic() - self._started - decode - encode)
        infer = min(infer, others)  # batches of its tiles ran beside each other
        return Timings(decode, others - infer, infer, encode)

    def _add(self, stage: Stage, seconds: float) -> None:
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
