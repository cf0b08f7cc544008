"""The load generator and the start of servers, on our own server with a model that is solved in
one's head."""

import io
import itertools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.load import NO_ANSWER, closed_loop, fetch, get_request, open_loop, request_of
from benchmarks.servers import free_port, running, segserve
from tests.service.serving import ServerThread, picture, png_bytes, serving
from tests.solvable import solve


@pytest.fixture(scope="module")
def server(solvable_store: Path) -> Iterator[ServerThread]:
    with serving(solvable_store, default_model="solvable", max_queue_images=4) as running_server:
        yield running_server


@pytest.mark.parametrize("part", [None, "image"])
def test_an_image_comes_back_segmented(server: ServerThread, part: str | None) -> None:
    image = picture(24, 32)
    reply = fetch(server.port, request_of(png_bytes(image), "/segment?format=npz", part))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/x-npz"
    with np.load(io.BytesIO(reply.body)) as arrays:
        np.testing.assert_array_equal(arrays["class_map"], solve(image))


def test_a_closed_loop_never_has_more_requests_than_callers(server: ServerThread) -> None:
    requests = [request_of(png_bytes(picture(24, 32, seed)), "/segment") for seed in range(3)]
    load = closed_loop(server.port, itertools.islice(itertools.cycle(requests), 40), 4)
    assert load.statuses == {"200": 40}  # with a fifth at a time the queue of 4 would have refused
    assert 0 < load.latency(0.5) <= load.latency(0.99)
    assert load.rate == pytest.approx(40 / (load.ended - load.began))


def test_a_closed_loop_ends_when_told_to(server: ServerThread) -> None:
    ended = threading.Event()
    threading.Timer(0.2, ended.set).start()
    load = closed_loop(server.port, [get_request("/health/live")], 2, stop=ended)
    assert set(load.statuses) == {"200"}


def test_an_open_loop_sends_what_was_asked_for_whatever_becomes_of_it(server: ServerThread) -> None:
    request = request_of(png_bytes(picture(24, 32)), "/segment")
    load = open_loop(server.port, [request], rate=100.0, seconds=0.5)
    assert sum(load.statuses.values()) == 50
    assert set(load.statuses) <= {"200", "429"}


def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(
    solvable_store: Path,
) -> None:
    with serving(solvable_store, keep_alive_seconds=1) as server:
        load = open_loop(server.port, [get_request("/health/live")], rate=0.5, seconds=4.0)
    assert load.statuses == {"200": 2}


def test_who_is_never_answered_counts_as_such() -> None:
    assert fetch(free_port(), get_request("/")).status == NO_ANSWER
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        load = open_loop(port, [get_request("/")], rate=20.0, seconds=0.2, patience=0.3)
    assert load.statuses == {"0": 4}
    assert load.rate == 0.0
    assert min(sample.seconds for sample in load.samples) >= 0.25


def test_a_server_process_is_started_paused_and_stopped(solvable_store: Path) -> None:
    image = png_bytes(picture(24, 32))
    candidate = segserve("ours", "--default-model", "solvable", store=solvable_store)
    with running(candidate, image) as server:
        assert fetch(server.port, get_request("/health/ready")).status == 200
        assert server.fetch(image).status == 200
        assert server.engine().startswith("tensorflow")
        server.pause()
        assert server.fetch(image, patience=0.3).status == NO_ANSWER
        server.resume()
        with server.watching_memory() as seen:
            assert server.fetch(image).status == 200
        assert 50e6 < server.proportional_bytes() <= server.resident_bytes()
        assert max(seen) >= seen[0]
        process = server.process
    assert process.returncode == 0


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(SystemExit, match="SEGSERVE_THREADS"),
        running(segserve("ours", "--threads", "-1", store=tmp_path), b""),
    ):
        pass
