"""The load generator: one event loop over keep-alive sockets, requests made beforehand. Not a
benchmark itself.

It shares the machine with what it measures, so it does little: about 0.1 ms of CPU a request. Each
load says its share.
"""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, TypeVar

import httptools
import uvloop

from benchmarks.measuring import quantile

HOST = "127.0.0.1"
NO_ANSWER = 0
TIMEOUT_SECONDS = 60.0
BOUNDARY = "one-image-and-nothing-else"

T = TypeVar("T")


def request_of(
    image: bytes,
    path: str,
    field_name: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A whole HTTP request with the image as its body, or as the multipart part `field_name`."""
    content_type, body = "application/octet-stream", image
    if field_name is not None:
        content_type = f"multipart/form-data; boundary={BOUNDARY}"
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field_name}"; '
            'filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        body = head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {HOST}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def get_request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@dataclass
class Reply:
    """An answer of status 0 never came: the connection broke, or patience ended."""

    status: int = NO_ANSWER
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class Sample:
    """`seconds` count from when the request was meant to be sent, so a server that stalls cannot
    hide it."""

    status: int
    seconds: float
    finished: float


@dataclass(frozen=True)
class Load:
    """What came of a load. Those answered within `[began, ended]` (time.perf_counter) count for the
    rate."""

    samples: list[Sample]
    began: float
    ended: float
    client_cpu_share: float

    @property
    def rate(self) -> float:
        """Images answered with 200 a second."""
        done = [
            sample
            for sample in self.samples
            if sample.status == 200 and self.began <= sample.finished <= self.ended
        ]
        return len(done) / (self.ended - self.began)

    def latency(self, share: float) -> float:
        """Seconds that `share` of the answers of status 200 took at most."""
        return quantile([sample.seconds for sample in self.samples if sample.status == 200], share)

    @property
    def statuses(self) -> dict[str, int]:
        return {str(status): n for status, n in Counter(one.status for one in self.samples).items()}


def fetch(port: int, request: bytes, patience: float = TIMEOUT_SECONDS) -> Reply:
    """One request on a connection of its own."""

    async def once() -> Reply:
        pool = _Pool(port)
        try:
            return await pool.send(request, patience)
        finally:
            pool.close()

    return _run(once())


def closed_loop(
    port: int,
    requests: Sequence[bytes] | Iterator[bytes],
    concurrency: int,
    seconds: float = float("inf"),
    *,
    ramp_seconds: float = 0.0,
    stop: threading.Event | None = None,
) -> Load:
    """`concurrency` callers, each sending its next request when it has the answer to its last.

    A sequence of requests goes round until `ramp_seconds` and `seconds` are over; an iterator may
    end before. What is answered in the ramp is no sample.
    """
    waiting = cycle(requests) if isinstance(requests, Sequence) else requests

    async def load() -> Load:
        pool, samples = _Pool(port), []
        cpu, began = time.process_time(), time.perf_counter() + ramp_seconds
        ended = began + seconds

        async def caller() -> None:
            for request in waiting:
                sent = time.perf_counter()
                if sent >= ended or (stop is not None and stop.is_set()):
                    return
                reply = await pool.send(request)
                now = time.perf_counter()
                if now >= began:
                    samples.append(Sample(reply.status, now - sent, now))

        await asyncio.gather(*(caller() for _ in range(concurrency)))
        pool.close()
        now = time.perf_counter()
        share = (time.process_time() - cpu) / (now - began + ramp_seconds)
        return Load(samples, began, min(ended, now), share)

    return _run(load())


def open_loop(
    port: int,
    requests: Sequence[bytes],
    rate: float,
    seconds: float,
    patience: float = TIMEOUT_SECONDS,
) -> Load:
    """`rate` requests a second at even distances, whatever becomes of those before.

    After `seconds` nothing more is sent; who has no answer `patience` seconds after sending counts
    with status 0.
    """

    async def load() -> Load:
        pool, samples = _Pool(port), []
        cpu, began = time.process_time(), time.perf_counter()

        async def one(request: bytes, meant: float) -> None:
            reply = await pool.send(request, patience)
            now = time.perf_counter()
            samples.append(Sample(reply.status, now - meant, now))

        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                meant = began + number / rate
                await asyncio.sleep(max(0.0, meant - time.perf_counter()))
                group.create_task(one(requests[number % len(requests)], meant))
        pool.close()
        share = (time.process_time() - cpu) / (time.perf_counter() - began)
        return Load(samples, began, began + seconds, share)

    return _run(load())


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class _Pool:
    """Idle connections first, new ones where there is none."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Connection] = []

    async def send(self, request: bytes, patience: float = TIMEOUT_SECONDS) -> Reply:
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(patience):
                connection = self._take_idle() or await self._connect()
                reply = await connection.send(request)
        except (OSError, TimeoutError, httptools.HttpParserError):
            if connection is not None:
                connection.close()
            return Reply()
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return reply

    def close(self) -> None:
        for connection in self._idle:
            connection.close()

    def _take_idle(self) -> "_Connection | None":
        """The last one used that the server has not closed since."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, HOST, self._port)
        return connection


class _Connection(asyncio.Protocol):
    """One request at a time. The names without underscores are those that asyncio and httptools
    call."""

    def __init__(self) -> None:
        self.reusable = False
        self._answered: asyncio.Future[Reply] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    async def send(self, request: bytes) -> Reply:
        self.reusable = False
        self._reply, self._body = Reply(), bytearray()
        self._parser = httptools.HttpResponseParser(self)
        self._answered = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            raise ConnectionResetError
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        self._fail(exc or ConnectionResetError())

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reply.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._reply.status = self._parser.get_status_code()
        self._reply.body = bytes(self._body)
        self.reusable = self._parser.should_keep_alive()
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(self._reply)

    def _fail(self, error: Exception) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            if self._answered is not None:
                self._answered.set_exception(error)
