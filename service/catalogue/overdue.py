"""Work that takes too long is waited for no longer, and is counted for as long as it goes on."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# Each may hold a thread and a model's memory for good.
MAX_OVERDUE = 4


class OverdueError(Exception):
    """The work was not done in time, or so much other work was not that this was not begun.

    `work` is what goes on beyond its time.
    """

    def __init__(self, sentence: str, work: asyncio.Task[Any] | None = None) -> None:
        super().__init__(sentence)
        self.work = work


class Overdue:
    """Used on the event loop only."""

    def __init__(self) -> None:
        self._since: dict[asyncio.Task[Any], float] = {}

    @property
    def stuck_seconds(self) -> float:
        """How long the oldest work goes on beyond its time; 0 where there is none."""
        return time.monotonic() - min(self._since.values()) if self._since else 0.0

    async def within(
        self,
        seconds: float,
        work: Coroutine[Any, Any, T],
        sentence: str,
        discard: Callable[[T], None] = lambda _: None,
        *,
        even_if_full: bool = False,
    ) -> T:
        """Wait for `work`. Raises OverdueError with `sentence` where it takes more than `seconds`.

        It is not cancelled then, nor where the caller is: what hangs would not notice. `discard`
        gets the result for which nobody waits any more. Where `MAX_OVERDUE` are at work beyond
        their time nothing more is begun.
        """
        if len(self._since) >= MAX_OVERDUE and not even_if_full:
            work.close()
            raise OverdueError(
                f"{MAX_OVERDUE} loads hang already, and no more are begun; restart the server"
            )
        task = asyncio.create_task(work)
        try:
            await asyncio.wait([task], timeout=seconds)
        except asyncio.CancelledError:
            self._leave(task, discard)
            raise
        if task.done():
            return task.result()
        self._leave(task, discard)
        raise OverdueError(sentence, task)

    def _leave(self, task: asyncio.Task[T], discard: Callable[[T], None]) -> None:
        def end(task: asyncio.Task[T]) -> None:
            del self._since[task]
            if not task.cancelled() and task.exception() is None:
                discard(task.result())

        self._since[task] = time.monotonic()
        task.add_done_callback(end)
