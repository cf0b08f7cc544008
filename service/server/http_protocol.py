"""One HTTP connection: uvicorn's, with bounds on what comes before the app sees a request."""

import asyncio
from asyncio import TimerHandle
from typing import Protocol, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.protocols.problems import (
    MEDIA_TYPE,
    HeadersTimeoutError,
    HeadersTooLargeError,
    MalformedHttpError,
    RequestError,
    make_problem,
    row_of,
)
from service.protocols.telemetry.request_id import new_request_id
from service.server.slow_readers import CountingTransport, ReaderWatch

MAX_HEADER_BYTES = 64 * 1024


class ConnectionConfig(Protocol):
    """What a connection asks of uvicorn's configuration beside uvicorn's own."""

    header_timeout_seconds: float


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes connections whose headers are too slow or too long; answers no HTTP with a problem.

    Trailers and the lines between chunks are headers here: whatever the parser takes without coming
    to a body's next byte.
    """

    config: ConnectionConfig  # type: ignore[assignment]
    _header_timer: TimerHandle | None = None
    _in_headers = False
    _idle_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._counting = CountingTransport(transport, self.loop)
        self._reader = ReaderWatch(self._counting)
        super().connection_made(cast(asyncio.Transport, self._counting))
        self._start_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # The parser's callbacks set this to 0 where the request gets on. What of `data` came after
        # that is not known, and is not counted: it is no more than one read from the socket.
        self._idle_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._idle_bytes > MAX_HEADER_BYTES:
            self._refuse(
                HeadersTooLargeError(f"The headers are larger than {MAX_HEADER_BYTES} bytes.")
            )
        elif self._in_headers and self._header_timer is None:
            self._start_header_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers = True

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._idle_bytes = 0
        self._stop_header_timer()
        if not self.url.startswith(b"/"):
            self._take_host_of_target()
        super().on_headers_complete()

    def _take_host_of_target(self) -> None:
        """Bring a target such as http://example.org/ into the usual form.

        It says the host, whatever the Host header says (RFC 9112, section 3.2.2).
        """
        target = httptools.parse_url(self.url)
        if not target.host:
            return
        host = b"[%b]" % target.host if b":" in target.host else target.host
        port = b":%d" % target.port if target.port else b""
        self.headers[:] = [header for header in self.headers if header[0] != b"host"]
        self.headers.append((b"host", host + port))
        query = b"?" + target.query if target.query else b""
        self.url = (target.path or b"/") + query

    def on_body(self, body: bytes) -> None:
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._idle_bytes = 0
        super().on_message_complete()

    def is_stalled(self, now: float, window_seconds: float, least_bytes: int) -> bool:
        """As `ReaderWatch.is_stalled` says."""
        return self._reader.is_stalled(now, window_seconds, least_bytes)

    def cut_off(self) -> None:
        """End the connection at once, with whatever is under way at it."""
        self._counting.reset()

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedHttpError(f"{msg} Use an HTTP/1.1 client."))

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(
            self.config.header_timeout_seconds, self._headers_are_late
        )

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _headers_are_late(self) -> None:
        if self.flow.read_paused:  # it is we who do not read them: a request before is at work
            self._start_header_timer()
            return
        limit = self.config.header_timeout_seconds
        self._refuse(HeadersTimeoutError(f"The headers were not received within {limit:g} s."))

    def _refuse(self, error: RequestError) -> None:
        """Answer, and close the connection.

        A whole request that came before is still answered, and nothing after it.
        """
        cycle = self.cycle
        at_work = cycle is not None and not cycle.response_complete
        if at_work and not cycle.more_body:
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if not (at_work and cycle.response_started):
            self.transport.write(_refusal(error))
        self.transport.close()


def _refusal(error: RequestError) -> bytes:
    problem = make_problem(row_of(error), str(error), request_id=new_request_id())
    body = problem.model_dump_json().encode()
    headers = (
        f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return STATUS_LINE[problem.status] + headers.encode() + body
