"""The serving process: its socket, its signals, and the order in which it ends."""

import asyncio
import errno
import secrets
import signal
import socket
import threading
import time
from asyncio import TimerHandle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.protocols.context import AppContext
from service.protocols.problems import MEDIA_TYPE, TYPE_PREFIX, Problem

MAX_HEADER_BYTES = 64 * 1024
BACKLOG = 2048
TICK_SECONDS = 0.1


class ListenError(Exception):
    """The address cannot be listened on. The text says why, and what to do."""


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; port 0 takes a free one. Raises ListenError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror:
        raise ListenError(
            f"Cannot bind to {host}: not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all."
        ) from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise ListenError(_why_not(host, port, error)) from None
    return bound


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use by another program; choose one with --port, or end that program."
    if error.errno == errno.EACCES:
        return f"Port {port} is open to the superuser alone; choose one above 1023 with --port."
    return f"Port {port} of {host} cannot be listened on: {error.strerror}."


class ServerConfig(uvicorn.Config):
    """uvicorn's settings, and those that our protocol and our way to end add."""

    def __init__(
        self,
        app: FastAPI,
        *,
        root_path: str,
        keep_alive_seconds: int,
        header_timeout_seconds: float,
        shutdown_delay_seconds: float,
        shutdown_grace_seconds: float,
    ) -> None:
        super().__init__(
            app,
            http=BoundedHttpProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            root_path=root_path,
            backlog=BACKLOG,
            timeout_keep_alive=keep_alive_seconds,
        )
        self.header_timeout_seconds = header_timeout_seconds
        self.shutdown_delay_seconds = shutdown_delay_seconds
        self.shutdown_grace_seconds = shutdown_grace_seconds


class Server(uvicorn.Server):
    """Ends in this order: not ready, serve on for the delay, refuse connections, finish what was accepted, exit 0.

    Ctrl+C leaves out the delay, for there is no load balancer at a terminal; a second one leaves out the rest.
    """

    config: ServerConfig

    def __init__(
        self, config: ServerConfig, parts: AppContext, on_settled: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._registry = parts.registry
        self._on_settled = on_settled
        self._delay_seconds = config.shutdown_delay_seconds
        self._settling: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._settling = asyncio.create_task(self._tell_when_settled())

    async def main_loop(self) -> None:
        await super().main_loop()
        told = time.monotonic()
        self._registry.begin_draining()
        while time.monotonic() < told + self._delay_seconds and not self.force_exit:
            await asyncio.sleep(TICK_SECONDS)
            await self.on_tick(0)
        left = told + self.config.shutdown_grace_seconds - time.monotonic()
        self.config.timeout_graceful_shutdown = max(0.0, left)  # type: ignore[assignment]  # it may be a float
        if self._settling is not None:
            self._settling.cancel()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGINT:
            self._delay_seconds = 0.0
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again in the end, so that the process would not exit with 0.
        if threading.current_thread() is not threading.main_thread():
            yield  # signals are for the program that this server is a part of
            return
        before = {
            sig: signal.signal(sig, self.handle_exit) for sig in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield
        finally:
            for sig, handler in before.items():
                signal.signal(sig, handler)

    async def _tell_when_settled(self) -> None:
        await self._registry.wait_until_settled()
        self._on_settled()


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes connections whose headers are too slow or too long, and answers what is no HTTP with a problem."""

    config: ServerConfig
    _header_timer: TimerHandle | None = None
    _header_bytes = 0
    _in_headers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_headers or self.transport.is_closing():
            return
        self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(
                431, "headers-too-large", f"The headers are larger than {MAX_HEADER_BYTES} bytes."
            )
        elif self._header_timer is None:
            self._start_header_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._stop_header_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "malformed-http", f"{msg} Use an HTTP/1.1 client.")

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(
            self.config.header_timeout_seconds, self._too_slow
        )

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _too_slow(self) -> None:
        limit = self.config.header_timeout_seconds
        self._refuse(408, "headers-timeout", f"The headers were not received within {limit:g} s.")

    def _refuse(self, status: int, slug: str, detail: str) -> None:
        """Answer and close the connection. A whole request that came before is still answered, and nothing after it."""
        cycle = self.cycle
        at_work = cycle is not None and not cycle.response_complete
        if at_work and not cycle.more_body:
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if not (at_work and cycle.response_started):
            self.transport.write(_refusal(status, slug, detail))
        self.transport.close()


def _refusal(status: int, slug: str, detail: str) -> bytes:
    line = STATUS_LINE[status]
    title = line.decode().split(" ", 2)[2].strip()
    problem = Problem(
        type=TYPE_PREFIX + slug,
        title=title,
        status=status,
        detail=detail,
        request_id=secrets.token_hex(8),
    )
    body = problem.model_dump_json().encode()
    headers = (
        f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return line + headers.encode() + body
