"""The disk's work beside the event loop, watched: a disk that hangs must be seen."""

import asyncio
import time
from collections.abc import Callable
from itertools import count
from typing import ParamSpec, TypeVar

from service.threads import DaemonExecutor

P = ParamSpec("P")
T = TypeVar("T")


class DiskThreads:
    """One thread keeps the order of what is told to the table; files have several. Used on the
    event loop only.

    What has begun is done whether its caller is cancelled or not.
    """

    def __init__(self, file_threads: int = 4) -> None:
        self._table = DaemonExecutor(1, "jobs-table")
        self._files = DaemonExecutor(file_threads, "jobs-file")
        self._begun: dict[int, float] = {}
        self._numbers = count()

    async def table(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(self._table, work, *args, **kwargs)

    async def file(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(self._files, work, *args, **kwargs)

    @property
    def stuck_seconds(self) -> float:
        """How long the longest piece of work goes on."""
        return time.monotonic() - min(self._begun.values()) if self._begun else 0.0

    def close(self) -> None:
        self._table.shutdown()
        self._files.shutdown()

    async def _run(
        self, threads: DaemonExecutor, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        number = next(self._numbers)
        self._begun[number] = time.monotonic()
        future = asyncio.wrap_future(threads.submit(work, *args, **kwargs))
        future.add_done_callback(lambda _: self._begun.pop(number))
        return await asyncio.shield(future)
