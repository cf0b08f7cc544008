"""HTTP as one of the server's listeners: uvicorn without its own way to start and end."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from service.concurrency import cancel_all
from service.server.http_protocol import BoundedHttpProtocol

BACKLOG = 2048
TICK_SECONDS = 1.0
DRAIN_POLL_SECONDS = 0.05

# What a request that is cancelled at the end of the grace has for saying so.
LAST_WORD_SECONDS = 1.0

# A client must take this much a second of its answers where others are refused for the memory that
# answers, or the uploads behind them, take. Else it is let be while it takes anything at all.
PRESSED_BYTES_A_SECOND = 64 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HttpOptions:
    """`answer_timeout_seconds` is how long a client may take nothing of its answer."""

    root_path: str
    keep_alive_seconds: int
    header_timeout_seconds: float
    answer_timeout_seconds: float


class _Config(uvicorn.Config):
    def __init__(self, app: FastAPI, options: HttpOptions) -> None:
        super().__init__(
            app,
            http=BoundedHttpProtocol,
            ws="none",
            lifespan="off",  # it is that of all listeners
            log_config=None,
            access_log=False,
            server_header=False,
            root_path=options.root_path,
            backlog=BACKLOG,
            timeout_keep_alive=options.keep_alive_seconds,
        )
        self.header_timeout_seconds = options.header_timeout_seconds


class HttpListener:
    """Serves `app` at the socket `bound`.

    `is_pressed` tells whether others are refused for the memory that slow readers may hold;
    `on_slow_reader` is called for each that is cut off.
    """

    def __init__(
        self,
        app: FastAPI,
        bound: socket.socket,
        options: HttpOptions,
        is_pressed: Callable[[], bool],
        on_slow_reader: Callable[[], None],
    ) -> None:
        self._bound = bound
        self._options = options
        self._is_pressed = is_pressed
        self._on_slow_reader = on_slow_reader
        self._server = uvicorn.Server(_Config(app, options))
        self._ticking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup(sockets=[self._bound])
        self._ticking = asyncio.create_task(self._tick())

    def stop_accepting(self) -> None:
        for server in self._server.servers:
            server.close()
        self._bound.close()

    async def drain(self, deadline: float) -> None:
        state = self._server.server_state
        for connection in list(state.connections):
            connection.shutdown()  # now where it is idle, else after the request at work
        # uvicorn tells nobody when a connection has ended, so it is asked again and again
        while (state.connections or state.tasks) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_POLL_SECONDS)

    async def close(self) -> None:
        for server in getattr(self._server, "servers", ()):
            server.close()
        state = self._server.server_state
        tasks = list(state.tasks)
        for task in tasks:
            task.cancel()  # whoever waits is told so by ErrorMiddleware
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORD_SECONDS)
        for connection in list(state.connections):
            connection.transport.abort()
        if self._ticking is not None:
            await cancel_all([self._ticking])

    async def _tick(self) -> None:
        while True:
            await self._server.on_tick(0)  # the Date header
            self._cut_off_slow_readers(time.monotonic())
            await asyncio.sleep(min(TICK_SECONDS, self._options.answer_timeout_seconds / 4))

    def _cut_off_slow_readers(self, now: float) -> None:
        seconds = self._options.answer_timeout_seconds
        least_bytes = int(seconds * PRESSED_BYTES_A_SECOND) if self._is_pressed() else 1
        for connection in list(self._server.server_state.connections):
            assert isinstance(connection, BoundedHttpProtocol)
            if connection.is_stalled(now, seconds, least_bytes):
                self._on_slow_reader()
                log.warning(
                    "cut off %s, which took %s of its answer in %g s",
                    connection.client[0] if connection.client else "a client",
                    "nothing" if least_bytes == 1 else f"less than {least_bytes} bytes",
                    seconds,
                )
                connection.cut_off()
