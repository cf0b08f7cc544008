"""Many pieces of work at once, and none left behind."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from itertools import islice
from typing import Any, TypeVar

Result = TypeVar("Result")


async def as_completed(
    work: Iterable[Callable[[], Coroutine[Any, Any, Result]]], at_once: int
) -> AsyncGenerator[Result]:
    """Run all of `work`, at most `at_once` at a time, and yield each result as it comes.

    What is not done when the generator is closed is cancelled.
    """
    waiting = iter(work)
    running: set[asyncio.Task[Result]] = set()
    done: set[asyncio.Task[Result]] = set()
    try:
        while True:
            running |= {
                asyncio.create_task(start()) for start in islice(waiting, at_once - len(running))
            }
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        await cancel_all(running | done)  # several may have failed, of which one was told


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks`, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
