"""How a server ends, and how it changes its models, with requests at work."""

import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.server.http import ListenError, listen
from tests.service.flaky import SLOW, mood
from tests.service.serving import ServerThread, picture, png_bytes, serving, wait_until


def waiting_images(server: ServerThread) -> int:
    return sum(state.waiting_images for state in server.parts.registry.states())


def test_a_request_at_work_is_answered_though_the_server_was_told_to_end(store: Path) -> None:
    with serving(store, models=("flaky",)) as server, ThreadPoolExecutor() as pool:
        slow = pool.submit(server.segment, mood(SLOW))
        wait_until(lambda: waiting_images(server) == 1, "the slow image at work")
        server.server.should_exit = True
        response = slow.result()
        server.thread.join()
    assert response.status_code == 200
    assert response.headers["Connection"] == "close"


def test_a_request_that_outlasts_the_grace_is_told_so(store: Path) -> None:
    with (
        serving(store, models=("flaky",), shutdown_grace_seconds=0.1) as server,
        ThreadPoolExecutor(8) as pool,
    ):
        # eight shapes share no batch: they go one after the other, and the last for longer than the grace
        slow = [
            pool.submit(httpx.post, f"{server.url}/segment", files=_slow(8 * height), timeout=60)
            for height in range(1, 9)
        ]
        wait_until(lambda: waiting_images(server) == 8, "the slow images at work")
        server.server.should_exit = True
        responses = [future.result() for future in slow]
        server.thread.join()
    assert {response.status_code for response in responses} <= {200, 503}
    late = [response.json() for response in responses if response.status_code == 503]
    assert late
    assert {problem["type"] for problem in late} == {"urn:segserve:problem:model-unavailable"}


def test_between_the_signal_and_the_end_it_serves_and_sends_clients_elsewhere(store: Path) -> None:
    with serving(store, models=("solvable",), shutdown_delay_seconds=3600) as server:
        server.server.should_exit = True
        wait_until(
            lambda: server.client.get("/health/ready").status_code == 503, "its being not ready"
        )
        assert server.client.get("/health/live").status_code == 200
        response = server.segment(picture(8, 8))
        assert response.status_code == 200
        assert response.headers["Connection"] == "close"
        server.server.force_exit = True


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
            with httpx.Client(base_url=server.url, timeout=60) as client:
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
        head = f"POST /segment/batch HTTP/1.1\r\nHost: x\r\nContent-Type: {request.headers['Content-Type']}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: waiting_images(server) > 0, "the batch at work")
        connection.close()
        wait_until(lambda: waiting_images(server) == 0, "the places that are freed")
        wait_until(lambda: server.metric("segserve_held_upload_bytes") == 0, "the body's end")
        assert server.segment(picture(8, 8)).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_it_listens_where_it_is_told(host: str) -> None:
    try:
        with listen(host, 0) as bound:
            assert bound.getsockname()[1] > 0
    except ListenError:
        if host != "::1":
            raise
        pytest.skip("no IPv6 on this machine")


def _slow(height: int = 8) -> dict[str, bytes]:
    return {"image": png_bytes(mood(SLOW, height))}
