"""The threads that call into one engine, and how long they have been at it.

A call counts from when it is asked for until its thread is done, whoever waits for it: what hangs
in an engine stays visible after its caller has left.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from service.runtimes.engine import Engine
from service.threads import DaemonExecutor

T = TypeVar("T")

logger = logging.getLogger(__name__)


class EngineThreads:
    """As many as the engine has streams. Used on the event loop only."""

    def __init__(self, engine: Engine, model_id: str) -> None:
        self._engine = engine
        self._model_id = model_id
        self._threads = DaemonExecutor(engine.streams, f"engine-{model_id}")
        self._since: dict[asyncio.Future[Any], float] = {}
        self._close_at_end = False

    @property
    def stuck_seconds(self) -> float:
        """How long the longest of the calls has been running; 0 where there is none."""
        return time.monotonic() - min(self._since.values()) if self._since else 0.0

    def call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Run `work` on a thread. Await it shielded: a thread cannot be cancelled."""
        loop = asyncio.get_running_loop()
        call: asyncio.Future[T] = loop.create_future()
        self._since[call] = time.monotonic()
        call.add_done_callback(self._count_out)

        def run() -> None:
            try:
                settle = partial(_give, call, work())
            except BaseException as error:  # noqa: BLE001 - told to whoever waits for it
                settle = partial(_fail, call, error)
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(settle)

        self._threads.put(run)
        return call

    async def close(self) -> None:
        """Close the engine: now, or when the call that hangs in it ends, without waiting for it."""
        if self._since:
            logger.error("%s is unloaded while a call into its engine hangs", self._model_id)
            self._close_at_end = True
        else:
            await asyncio.shield(self.call(self._close))

    def _count_out(self, call: asyncio.Future[Any]) -> None:
        del self._since[call]
        if not call.cancelled():
            call.exception()  # where nobody waits for it any more, it is no fault of the loop's
        if self._close_at_end and not self._since:
            self._close_at_end = False
            self.call(self._close)

    def _close(self) -> None:
        self._engine.close()
        self._threads.shutdown()


def _give(call: "asyncio.Future[T]", result: T) -> None:
    if not call.done():
        call.set_result(result)


def _fail(call: "asyncio.Future[Any]", error: BaseException) -> None:
    if not call.done():
        call.set_exception(error)
