"""How a server ends, and how it changes its models, with requests at work."""

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.server.lifecycle import EndOptions, Server
from service.settings import Settings
from tests.service.flaky import SLOW, mood
from tests.service.serving import (
    TIMEOUT_SECONDS,
    ServerThread,
    picture,
    png_bytes,
    serving,
    wait_until,
)


def waiting_images(server: ServerThread) -> int:
    return sum(state.waiting_images for state in server.parts.registry.states())


def test_a_request_at_work_is_answered_though_the_server_was_told_to_end(store: Path) -> None:
    with serving(store, models=("flaky",)) as server, ThreadPoolExecutor() as pool:
        slow = pool.submit(server.segment, mood(SLOW))
        wait_until(lambda: waiting_images(server) == 1, "the slow image at work")
        server.server.end()
        response = slow.result()
        server.thread.join()
    assert response.status_code == 200
    assert response.headers["Connection"] == "close"


def test_a_request_that_outlasts_the_grace_is_told_so(store: Path) -> None:
    with (
        serving(store, models=("flaky",), shutdown_grace_seconds=0.1) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        # eight shapes share no batch: they go one after the other, the last beyond the grace
        slow = [
            pool.submit(server.client.post, "/segment", files=_slow(8 * height))
            for height in range(1, 9)
        ]
        wait_until(
            lambda: sum(call.done() for call in slow) + waiting_images(server) >= 8,
            "the slow images at work",
        )
        server.server.end()
        responses = [future.result() for future in slow]
        server.thread.join()
    assert {response.status_code for response in responses} <= {200, 503}
    late = [response.json() for response in responses if response.status_code == 503]
    assert late
    assert {problem["type"] for problem in late} == {"urn:segserve:problem:model-unavailable"}


def test_between_the_signal_and_the_end_it_serves_and_sends_clients_elsewhere(store: Path) -> None:
    with serving(store, models=("solvable",), shutdown_delay_seconds=3600) as server:
        server.server.end()
        wait_until(
            lambda: server.client.get("/health/ready").status_code == 503, "its being not ready"
        )
        assert server.client.get("/health/live").status_code == 200
        response = server.segment(picture(8, 8))
        assert response.status_code == 200
        assert response.headers["Connection"] == "close"
        server.server.interrupt()


def test_ctrl_c_leaves_out_the_delay_and_finishes_what_was_accepted(store: Path) -> None:
    with (
        serving(store, models=("flaky",), shutdown_delay_seconds=3600) as server,
        ThreadPoolExecutor() as pool,
    ):
        slow = pool.submit(server.segment, mood(SLOW))
        wait_until(lambda: waiting_images(server) == 1, "the slow image at work")
        server.server.interrupt()
        assert slow.result().status_code == 200
        server.thread.join()


class RecordingListener:
    """Notes what it is told, in a list that several share. Drains until it is told to stop."""

    def __init__(self, name: str, notes: list[str], *, drains: bool = True) -> None:
        self.name = name
        self.notes = notes
        self.drains = drains

    async def start(self) -> None:
        self.notes.append(f"start {self.name}")

    def stop_accepting(self) -> None:
        self.notes.append(f"stop {self.name}")

    async def drain(self, deadline: float) -> None:
        assert deadline > time.monotonic()
        self.notes.append(f"drain {self.name}")
        if not self.drains:
            await asyncio.sleep(3600)

    async def close(self) -> None:
        self.notes.append(f"close {self.name}")


def test_no_way_in_is_open_while_another_is_finished_with(tmp_path: Path) -> None:
    notes: list[str] = []
    server = make_server(tmp_path, RecordingListener("a", notes), RecordingListener("b", notes))
    asyncio.run(start_and(server, server.end))
    assert notes[:4] == ["start a", "start b", "stop a", "stop b"]
    assert set(notes[4:6]) == {"drain a", "drain b"}
    assert notes[6:] == ["close b", "close a"]


def test_a_second_ctrl_c_leaves_out_the_rest(tmp_path: Path) -> None:
    notes: list[str] = []
    server = make_server(tmp_path, RecordingListener("a", notes, drains=False))

    def interrupt_twice() -> None:
        server.interrupt()
        server.interrupt()

    asyncio.run(start_and(server, interrupt_twice))
    assert notes[-1] == "close a"


def test_listeners_that_are_open_are_closed_where_the_next_one_does_not_start(
    tmp_path: Path,
) -> None:
    class Broken(RecordingListener):
        async def start(self) -> None:
            raise OSError("no certificate")

    notes: list[str] = []
    server = make_server(tmp_path, RecordingListener("a", notes), Broken("b", notes))
    with pytest.raises(OSError, match="no certificate"):
        asyncio.run(server.serve())
    assert notes == ["start a", "close b", "close a"]


def make_server(store: Path, *listeners: RecordingListener) -> Server:
    app = create_app(Settings(model_store=store))
    return Server(app, listeners, EndOptions(0.0, 3600.0), lambda: None)


async def start_and(server: Server, act: Callable[[], None]) -> None:
    serving = asyncio.create_task(server.serve())
    await asyncio.to_thread(server.started.wait)
    act()
    await serving


def test_new_versions_come_in_under_load_without_a_failed_request(
    solvable_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(solvable_store / "solvable", store / "solvable")
    body = png_bytes(picture(16, 16))
    stop = threading.Event()

    with serving(store) as server:
        seen: list[tuple[int, str]] = []

        def send() -> None:
            with httpx.Client(base_url=server.url, timeout=TIMEOUT_SECONDS) as client:
                while not stop.is_set():
                    response = client.post("/segment", files={"image": body})
                    seen.append((response.status_code, response.headers.get("X-Model", "")))

        def wait_for_an_answer_of(model: str) -> None:
            wait_until(
                lambda: any(answered == model for _, answered in seen), f"an answer of {model}"
            )

        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(send) for _ in range(4)]
            try:
                wait_for_an_answer_of("solvable/1")
                for version in (2, 3):
                    part = tmp_path / "part"
                    shutil.copytree(store / "solvable" / "1", part)
                    part.rename(store / "solvable" / str(version))
                    wait_for_an_answer_of(f"solvable/{version}")
                wait_until(lambda: len(server.parts.registry.states()) == 1, "the old ones' end")
            finally:
                stop.set()
            for client in clients:
                client.result()
    assert {status for status, _ in seen} == {200}
    assert {model for _, model in seen} == {"solvable/1", "solvable/2", "solvable/3"}


def test_a_client_that_leaves_a_batch_frees_all_its_places(store: Path) -> None:
    with serving(store, models=("flaky",)) as server:
        request = httpx.Request(
            "POST", f"{server.url}/segment/batch", files=[("image", png_bytes(mood(SLOW)))] * 4
        )
        body = request.read()
        connection = socket.create_connection(("127.0.0.1", server.port))
        head = (
            "POST /segment/batch HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: {request.headers['Content-Type']}\r\n"
        )
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: waiting_images(server) > 0, "the batch at work")
        connection.close()
        wait_until(lambda: waiting_images(server) == 0, "the places that are freed")
        wait_until(lambda: server.metric("segserve_held_upload_bytes") == 0, "the body's end")
        assert server.segment(picture(8, 8)).status_code == 200


def _slow(height: int = 8) -> dict[str, bytes]:
    return {"image": png_bytes(mood(SLOW, height))}
