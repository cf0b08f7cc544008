"""One connection: what is counted as a header, and what is not."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from tests.service.serving import TIMEOUT_SECONDS, ServerThread

HEALTH = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST_HEALTH = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


@pytest.fixture
def connection(server: ServerThread) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", server.port)) as made:
        made.settimeout(TIMEOUT_SECONDS)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield made


def upload(size: int) -> bytes:
    head = (
        b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        b"Content-Length: %d\r\n\r\n" % size
    )
    return head + bytes(size)


def chunked(sizes: list[int]) -> bytes:
    head = (
        b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    return head + b"".join(b"%x\r\n%s\r\n" % (size, bytes(size)) for size in sizes) + b"0\r\n\r\n"


def statuses(connection: socket.socket) -> list[int]:
    """Those of all answers, up to the end of the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):  # it closed while more was on its way to it
        while chunk := connection.recv(65536):
            received += chunk
    return [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    "first",
    [upload(10_000), upload(100_000), upload(250_000), chunked([100_000]), chunked([1] * 20_000)],
    ids=["10 kB", "100 kB", "250 kB", "one chunk", "many chunks"],
)
def test_the_body_before_a_pipelined_request_is_not_counted_as_its_headers(
    connection: socket.socket, first: bytes
) -> None:
    connection.sendall(first + LAST_HEALTH[:20])
    assert connection.recv(1, socket.MSG_PEEK)  # the first is answered; the second waits for us
    connection.sendall(LAST_HEALTH[20:])
    assert statuses(connection) == [415, 200]


def test_many_small_requests_at_once_are_all_answered(connection: socket.socket) -> None:
    count = 2 * 64 * 1024 // len(HEALTH)
    connection.sendall(HEALTH * count + LAST_HEALTH[:20])
    connection.sendall(LAST_HEALTH[20:])
    assert statuses(connection) == [200] * (count + 1)


@pytest.mark.parametrize(
    "endless",
    [
        b"GET /" + b"a" * 400_000,
        b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 400_000,
        b"GET / HTTP/1.1\r\n" + b"X-Many: a\r\n" * 40_000,
    ],
)
@pytest.mark.parametrize("before", [b"", upload(1000)])
def test_endless_headers_are_refused_on_a_new_and_on_a_kept_connection(
    connection: socket.socket, before: bytes, endless: bytes
) -> None:
    if before:
        connection.sendall(before)
        assert connection.recv(65536).startswith(b"HTTP/1.1 415 ")
    send_what_is_taken(connection, endless)
    assert statuses(connection) == [431]


@pytest.mark.parametrize(
    "endless",
    [
        b"0\r\nX-Long: " + b"a" * 400_000,
        b"0\r\n" + b"X-Many: a\r\n" * 40_000,
        b"1;" + b"a" * 400_000,
    ],
    ids=["a trailer", "trailers", "a chunk's extension"],
)
def test_what_is_neither_header_nor_body_is_bounded_as_headers_are(
    connection: socket.socket, endless: bytes
) -> None:
    connection.sendall(chunked([10])[: -len(b"0\r\n\r\n")])
    send_what_is_taken(connection, endless)
    assert statuses(connection) == [431]


def send_what_is_taken(connection: socket.socket, data: bytes) -> None:
    """Send in parts, until the server has heard enough."""
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(data), 50_000):
            connection.sendall(data[start : start + 50_000])
