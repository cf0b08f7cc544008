"""Each limit at its edge, and clients that do not play fair."""

import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.service.conftest import MAX_BATCH_UPLOAD_BYTES, MAX_IMAGE_PIXELS, MAX_UPLOAD_BYTES
from tests.service.serving import TIMEOUT_SECONDS, ServerThread, picture, png_bytes, serving

PNG = {"Content-Type": "image/png"}


def padded(size: int) -> bytes:
    """A picture of exactly `size` bytes: readers stop at a PNG's end."""
    body = png_bytes(picture(8, 8))
    return body + bytes(size - len(body))


@pytest.mark.parametrize(("extra", "status"), [(-1, 200), (0, 200), (1, 413)])
def test_the_upload_limit_counts_every_byte(server: ServerThread, extra: int, status: int) -> None:
    body = padded(MAX_UPLOAD_BYTES + extra)
    assert server.client.post("/segment", content=body, headers=PNG).status_code == status


@pytest.mark.parametrize(("extra", "status"), [(-1, 200), (0, 200), (1, 413)])
def test_a_chunked_upload_without_length_meets_the_same_limit(
    server: ServerThread, extra: int, status: int
) -> None:
    body = padded(MAX_UPLOAD_BYTES + extra)
    chunks = (body[start : start + 4096] for start in range(0, len(body), 4096))
    assert server.client.post("/segment", content=chunks, headers=PNG).status_code == status


@pytest.mark.parametrize(("extra", "status"), [(-1, 200), (0, 200), (1, 413)])
def test_a_batch_has_an_upload_limit_of_its_own(
    server: ServerThread, extra: int, status: int
) -> None:
    frame = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    end = b"\r\n--x--\r\n"
    body = frame + padded(MAX_BATCH_UPLOAD_BYTES + extra - len(frame) - len(end)) + end
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert server.client.post("/segment/batch", content=body, headers=headers).status_code == status


@pytest.mark.parametrize(
    ("width", "status"), [(MAX_IMAGE_PIXELS // 100, 200), (MAX_IMAGE_PIXELS // 100 + 1, 413)]
)
def test_the_pixel_limit_is_the_product_of_the_sides(
    server: ServerThread, width: int, status: int
) -> None:
    image = np.zeros((100, width, 3), np.uint8)
    assert server.segment(image).status_code == status


def test_a_small_file_that_claims_to_be_huge_is_refused(server: ServerThread) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    whole = png_bytes(picture(8, 8))
    bomb = (
        whole[:8]
        + struct.pack(">I", 13)
        + header
        + struct.pack(">I", zlib.crc32(header))
        + whole[33:]
    )
    response = server.client.post("/segment", content=bomb, headers=PNG)
    assert response.status_code == 413
    assert "60000" in response.json()["detail"]


def test_an_upload_announced_too_large_is_refused_before_it_is_sent(server: ServerThread) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Expect: 100-continue\r\n"
            b"Content-Length: 999999999999\r\n\r\n"
        )
        answer = read_to_the_end(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer
    assert b"999999999999 bytes" in answer


def test_a_client_that_waits_for_leave_to_send_gets_it(server: ServerThread) -> None:
    body = padded(1000)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Expect: 100-continue\r\n"
            b"Connection: close\r\nContent-Length: 1000\r\n\r\n"
        )
        assert connection.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_to_the_end(connection).startswith(b"HTTP/1.1 200 ")


def test_a_length_that_is_too_small_ends_the_image_there(server: ServerThread) -> None:
    body = png_bytes(picture(30, 30))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 100\r\n\r\n" + body
        )
        answer = read_to_the_end(connection)
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert b"HTTP/1.1 200" not in answer


def test_a_refused_client_that_goes_on_sending_still_reads_why(server: ServerThread) -> None:
    """Closing at once would reset the connection, and the answer might never be seen."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
        for _ in range(100):
            connection.sendall(chunk)
        connection.sendall(b"0\r\n\r\n")
        answer = read_to_the_end(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


def test_a_body_that_no_route_asked_for_does_not_confuse_the_next_request(
    server: ServerThread,
) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n"
        )
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = read_to_the_end(connection)
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.fixture(scope="module")
def impatient(store: Path) -> Iterator[ServerThread]:
    with serving(
        store, lazy_loading=True, header_timeout_seconds=0.3, upload_timeout_seconds=0.5
    ) as running:
        yield running


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET /health/live HT", b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: y"],
)
def test_headers_that_stall_are_cut_off(impatient: ServerThread, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(sent)
        answer = read_to_the_end(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_headers_that_stall_on_a_kept_connection_are_cut_off(impatient: ServerThread) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /again")
        answer = read_to_the_end(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1 408 " in answer


def test_a_body_in_drips_is_cut_off_however_often_it_drips(impatient: ServerThread) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as connection:
        connection.sendall(
            b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 9999\r\n\r\n"
        )
        connection.settimeout(0.05)
        answer = b""
        while not answer.startswith(b"HTTP/1.1 408 "):
            connection.sendall(b"\x89")
            try:
                answer += connection.recv(4096)
            except TimeoutError:
                continue
    assert b"/segment" not in answer


@pytest.mark.parametrize(
    "line",
    [b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 70_000],
)
def test_endless_headers_are_refused(server: ServerThread, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(line)
        assert read_to_the_end(connection).startswith(b"HTTP/1.1 431 ")


def read_to_the_end(connection: socket.socket) -> bytes:
    connection.settimeout(TIMEOUT_SECONDS)
    answer = b""
    try:
        while chunk := connection.recv(65536):
            answer += chunk
    except ConnectionResetError:
        pass  # the server closed while more was on its way; what was read before it counts
    return answer
