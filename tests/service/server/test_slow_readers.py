"""Clients that do not read their answers, and those that read them slowly."""

import io
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.service.serving import ServerThread, picture, png_bytes, serving, wait_until

TIMEOUT_SECONDS = 2.0
SIDE_PIXELS = 1200
ANSWER_BYTES = SIDE_PIXELS**2 * 3 * 4  # far more than the system takes on its way to the client
QUERY = "format=npz&probabilities=true&dtype=float32"

ROUTES = {
    "whole": ("/segment", 1),
    "streamed": ("/segment/batch", 3),
}


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[ServerThread]:
    with serving(
        store, models=("solvable",), answer_timeout_seconds=TIMEOUT_SECONDS, keep_alive_seconds=1
    ) as running:
        yield running


@pytest.fixture(params=ROUTES)
def connection(server: ServerThread, request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """One at which a large answer is asked for, and little of it fits on the way."""
    path, count = ROUTES[request.param]
    with ask(server, path, count) as made:
        yield made


def ask(server: ServerThread, path: str, count: int) -> socket.socket:
    image = png_bytes(np.zeros((SIDE_PIXELS, SIDE_PIXELS, 3), np.uint8))
    sent = httpx.Request("POST", f"{server.url}{path}?{QUERY}", files=[("image", image)] * count)
    body = sent.read()
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    made.connect(("127.0.0.1", server.port))
    head = (
        f"POST {path}?{QUERY} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: {sent.headers['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    made.sendall(head.encode() + body)
    return made


def was_cut_off(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))


def test_a_client_that_reads_nothing_is_cut_off(
    server: ServerThread, connection: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    wait_until(lambda: was_cut_off(connection), "the end of the connection")
    assert "cut off 127.0.0.1" in caplog.text
    wait_until(lambda: server.metric("segserve_requests_in_progress") == 1, "the request's end")
    assert server.segment(picture(8, 8)).status_code == 200


def test_a_client_that_reads_slowly_gets_all_of_its_answer(connection: socket.socket) -> None:
    began = time.monotonic()
    received = io.BytesIO()
    connection.settimeout(60)
    while chunk := connection.recv(512 * 1024):
        received.write(chunk)
        if time.monotonic() - began < 3 * TIMEOUT_SECONDS:
            time.sleep(TIMEOUT_SECONDS / 20)
    assert time.monotonic() - began > 2 * TIMEOUT_SECONDS
    assert received.tell() > ANSWER_BYTES
    assert received.getvalue().startswith(b"HTTP/1.1 200 ")
