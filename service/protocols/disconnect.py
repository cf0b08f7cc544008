"""Work for a client that may leave."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from service.protocols.problems import ClientDisconnectedError

Result = TypeVar("Result")


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """The result of `work`, which is cancelled when the client closes the connection. Raises
    ClientDisconnectedError.

    The request's body must have been read.
    """
    task = asyncio.current_task()
    assert task is not None
    cancelled_before = task.cancelling()
    is_over = has_left = False

    def client_left(watching: asyncio.Task[None]) -> None:
        nonlocal has_left
        if not watching.cancelled() and not is_over:
            watching.exception()  # whatever it is, no answer can be sent
            has_left = True
            task.cancel()

    watching = asyncio.create_task(_client_leaves(request))
    watching.add_done_callback(client_left)
    try:
        return await work
    except asyncio.CancelledError:
        if has_left and task.uncancel() <= cancelled_before:
            raise ClientDisconnectedError(
                "The client closed the connection before the answer was ready."
            ) from None
        raise
    finally:
        is_over = True
        watching.cancel()


async def _client_leaves(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
