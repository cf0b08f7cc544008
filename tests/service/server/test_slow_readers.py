"""Clients that do not read their answers, and those that read them slowly."""

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.service.serving import (
    TIMEOUT_SECONDS,
    ServerThread,
    picture,
    png_bytes,
    serving,
    wait_until,
)

ANSWER_TIMEOUT_SECONDS = 2.0
SIDE_PIXELS = 1200
ANSWER_BYTES = SIDE_PIXELS**2 * 3 * 4  # far more than the system takes on its way to the client
UPLOAD_BYTES = 200_000
QUERY = "format=npz&probabilities=true&dtype=float32"

ROUTES = {
    "whole": ("/segment", 1),
    "streamed": ("/segment/batch", 3),
}


def serving_little(store: Path, **settings: Any) -> AbstractContextManager[ServerThread]:
    """A server that has room for less than an answer, and for four uploads of three images."""
    return serving(
        store,
        models=("solvable",),
        keep_alive_seconds=1,
        max_held_answer_bytes=ANSWER_BYTES // 4,
        max_upload_bytes=4 * UPLOAD_BYTES,
        max_batch_upload_bytes=4 * UPLOAD_BYTES,
        max_held_upload_bytes=12 * UPLOAD_BYTES + 10_000,
        **settings,
    )


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[ServerThread]:
    with serving_little(store, answer_timeout_seconds=ANSWER_TIMEOUT_SECONDS) as running:
        yield running


@pytest.fixture(scope="module")
def patient_server(store: Path) -> Iterator[ServerThread]:
    """One that cuts off nobody while a test looks."""
    with serving_little(store, answer_timeout_seconds=TIMEOUT_SECONDS) as running:
        yield running


@pytest.fixture(params=ROUTES)
def connection(server: ServerThread, request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    """One at which a large answer is asked for, and little of it fits on the way."""
    with ask(server, *ROUTES[request.param]) as made:
        yield made
    wait_until(lambda: held(server) == (0, 0), "what is given back")


def ask(
    server: ServerThread, path: str, count: int, buffer_bytes: int = 64 * 1024
) -> socket.socket:
    image = png_bytes(np.zeros((SIDE_PIXELS, SIDE_PIXELS, 3), np.uint8))
    image += bytes(UPLOAD_BYTES - len(image))  # readers stop at a PNG's end
    sent = httpx.Request("POST", f"{server.url}{path}?{QUERY}", files=[("image", image)] * count)
    body = sent.read()
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    made.connect(("127.0.0.1", server.port))
    head = (
        f"POST {path}?{QUERY} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: {sent.headers['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    made.sendall(head.encode() + body)
    return made


def held(server: ServerThread) -> tuple[int, int]:
    """Bytes of bodies and of answers."""
    return server.parts.uploads.held, server.parts.answers.held


def was_cut_off(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection, 0)
    return bool(poll.poll(0))


def read_all(connection: socket.socket, pause: Callable[[], None] = lambda: None) -> bytes:
    connection.settimeout(TIMEOUT_SECONDS)
    received = bytearray()
    while chunk := connection.recv(512 * 1024):
        received += chunk
        pause()
    return bytes(received)


def test_a_client_that_reads_nothing_is_cut_off(
    server: ServerThread, connection: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    before = server.metric("segserve_rejections_total", {"reason": "slow-reader"})
    wait_until(lambda: was_cut_off(connection), "the end of the connection")
    assert "cut off 127.0.0.1" in caplog.text
    assert server.metric("segserve_rejections_total", {"reason": "slow-reader"}) == before + 1
    wait_until(lambda: held(server) == (0, 0), "what is given back")
    assert server.segment(picture(8, 8)).status_code == 200


def test_a_client_that_reads_slowly_gets_all_of_its_answer(connection: socket.socket) -> None:
    began = time.monotonic()

    def pause() -> None:
        if time.monotonic() - began < 3 * ANSWER_TIMEOUT_SECONDS:
            time.sleep(ANSWER_TIMEOUT_SECONDS / 20)

    received = read_all(connection, pause)
    assert time.monotonic() - began > 2 * ANSWER_TIMEOUT_SECONDS
    assert len(received) > ANSWER_BYTES
    assert received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("name", ROUTES)
def test_an_answer_that_is_not_read_counts_until_it_is(
    patient_server: ServerThread, name: str
) -> None:
    """And while there is no room for others, no upload begins."""
    server = patient_server
    connection = ask(server, *ROUTES[name])
    wait_until(lambda: held(server)[1] > server.parts.answers.limit, "an answer in memory")
    refused = server.segment(picture(8, 8))
    assert refused.status_code == 429
    assert refused.json()["type"] == "urn:segserve:problem:answers-full"
    assert refused.headers["Retry-After"] == "1"
    assert server.client.get("/models").status_code == 200
    with connection:
        assert len(read_all(connection)) > ANSWER_BYTES
    wait_until(lambda: held(server) == (0, 0), "what is given back")
    assert server.segment(picture(8, 8)).status_code == 200


@pytest.mark.parametrize("name", ROUTES)
def test_a_client_that_reads_slowly_is_cut_off_where_others_wait_for_its_memory(
    server: ServerThread, name: str
) -> None:
    """Its own system takes little at once, or the server would see nothing taken for a while."""
    with ask(server, *ROUTES[name], buffer_bytes=4096) as connection:
        connection.settimeout(TIMEOUT_SECONDS)
        began = time.monotonic()

        def reads_a_little() -> bool:
            connection.recv(1024)
            time.sleep(0.02)
            return time.monotonic() - began > 2 * ANSWER_TIMEOUT_SECONDS

        wait_until(reads_a_little, "a while in which nobody is refused")
        assert not was_cut_off(connection)

        def is_cut_off_while_others_ask() -> bool:
            reads_a_little()
            return server.segment(picture(8, 8)).is_success or was_cut_off(connection)

        with contextlib.suppress(ConnectionResetError):
            wait_until(is_cut_off_while_others_ask, "the end of the connection")
        wait_until(lambda: held(server) == (0, 0), "what is given back")
        assert was_cut_off(connection)


def test_an_upload_counts_no_longer_once_its_image_is_done(server: ServerThread) -> None:
    with ask(server, "/segment", 1):
        wait_until(lambda: held(server)[1] > 0, "an answer in memory")
        assert held(server)[0] == 0
    wait_until(lambda: held(server) == (0, 0), "what is given back")


def test_streams_that_are_not_read_do_not_hold_the_room_for_uploads_for_good(
    server: ServerThread,
) -> None:
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(ask(server, "/segment/batch", 3))
        wait_until(lambda: held(server)[1] > 0, "answers in memory")
        wait_until(lambda: server.segment(picture(8, 8)).status_code == 200, "room for another")
    wait_until(lambda: held(server) == (0, 0), "what is given back")
