"""Work for a client that may leave."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from itertools import islice
from typing import Any, TypeVar

from starlette.requests import Request

from service.api.errors import ClientDisconnectedError

Result = TypeVar("Result")


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the client closes the connection. Raises ClientDisconnectedError.

    The request's body must have been read.
    """
    task = asyncio.create_task(work)
    leaving = asyncio.create_task(_client_leaves(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnectedError(
                "The client closed the connection before the answer was ready."
            )
        return task.result()
    finally:
        await _cancel([task, leaving])


async def as_completed(
    work: Sequence[Callable[[], Coroutine[Any, Any, Result]]], at_once: int
) -> AsyncGenerator[Result]:
    """Run all of `work`, at most `at_once` at a time, and yield each result as it comes.

    What is not done when the generator is closed is cancelled.
    """
    waiting = iter(work)
    running: set[asyncio.Task[Result]] = set()
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
        await _cancel(running)


async def _client_leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
