"""The serving process from its start to its end: its signals, and the order in which it ends."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvloop
from fastapi import FastAPI

from service.concurrency import cancel_all
from service.protocols.context import AppContext
from service.server.listener import Listener


@dataclass(frozen=True)
class EndOptions:
    """`grace_seconds` counts from the signal on, and so holds the delay."""

    delay_seconds: float
    grace_seconds: float


class Server:
    """An app and every listener that leads to it.

    It ends in this order: not ready, serve on for the delay, take no new connections anywhere,
    finish what was accepted, close. Ctrl+C leaves out the delay, for there is no load balancer at a
    terminal; a second one leaves out the rest.
    """

    def __init__(
        self,
        app: FastAPI,
        listeners: Sequence[Listener],
        options: EndOptions,
        on_settled: Callable[[], None],
    ) -> None:
        """`on_settled` is called once every model was loaded or failed to."""
        parts: AppContext = app.state.parts
        self._registry = parts.registry
        self._app = app
        self.listeners = listeners
        self._options = options
        self._on_settled = on_settled
        self._delay_seconds = options.delay_seconds
        self._ending = asyncio.Event()
        self._forced = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.started = threading.Event()

    def run(self) -> None:
        """Serve until a signal comes, and end."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.serve())

    async def serve(self) -> None:
        """As `run`, on the running event loop."""
        self._loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            stack.enter_context(self._signals())
            await stack.enter_async_context(self._app.router.lifespan_context(self._app))
            for listener in self.listeners:
                stack.push_async_callback(listener.close)
                await listener.start()
            settling = asyncio.create_task(self._tell_when_settled())
            stack.push_async_callback(cancel_all, [settling])
            self.started.set()
            await self._ending.wait()
            await self._drain()

    def end(self) -> None:
        """Begin to end, as SIGTERM does. Called from any thread, once it has started."""
        self._call(self._ending.set)

    def interrupt(self) -> None:
        """As Ctrl+C does. Called from any thread, once it has started."""
        self._call(self._interrupt)

    def _call(self, function: Callable[[], None]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(function)

    def _interrupt(self) -> None:
        if self._ending.is_set():
            self._forced.set()
        self._delay_seconds = 0.0
        self._ending.set()

    async def _drain(self) -> None:
        told = time.monotonic()
        self._registry.begin_draining()
        await self._unless_forced(asyncio.sleep(self._delay_seconds))
        for listener in self.listeners:
            listener.stop_accepting()
        deadline = told + self._options.grace_seconds
        await self._unless_forced(_drain_all(self.listeners, deadline))

    async def _unless_forced(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, or as much of it as there is time for before a second Ctrl+C."""
        tasks = [asyncio.create_task(work), asyncio.create_task(self._forced.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_all(tasks)

    async def _tell_when_settled(self) -> None:
        await self._registry.wait_until_settled()
        self._on_settled()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are for the program that this server is a part of
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._ending.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTERM)
            loop.remove_signal_handler(signal.SIGINT)


async def _drain_all(listeners: Sequence[Listener], deadline: float) -> None:
    async with asyncio.TaskGroup() as group:
        for listener in listeners:
            group.create_task(listener.drain(deadline))
