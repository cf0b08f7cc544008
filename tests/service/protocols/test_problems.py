"""Every row of the table of errors, provoked over real HTTP."""

import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import httpx
import orjson
import pytest

from service.domain.errors import ServiceError
from service.protocols.problems import (
    INTERNAL,
    ROWS,
    TYPE_PREFIX,
    MalformedRequestError,
    RequestError,
    as_error_json,
    problem_of,
)
from tests.service.flaky import FAIL, SLOW, mood
from tests.service.serving import (
    TIMEOUT_SECONDS,
    ServerThread,
    picture,
    png_bytes,
    serving,
    wait_until,
)

IMAGE = png_bytes(picture(8, 8))


@pytest.fixture(scope="module")
def narrow(store: Path) -> Iterator[ServerThread]:
    """A server that takes one image at a time, and little of it."""
    with serving(
        store,
        default_model="flaky",
        max_queue_images=1,
        upload_timeout_seconds=0.3,
    ) as running:
        yield running


def assert_problem(response: httpx.Response, slug: str) -> str:
    """The answer is a whole problem of this kind. Gives its detail."""
    problem = response.json()
    row = next(r for r in (*ROWS.values(), INTERNAL) if r.slug == slug)
    assert problem["type"] == TYPE_PREFIX + slug, problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.status_code == problem["status"] == row.status
    assert problem["title"] == row.title
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    detail = problem["detail"]
    assert isinstance(detail, str)
    assert "Traceback" not in detail
    assert "/tmp" not in detail
    return detail


def post(
    server: ServerThread, query: str = "", body: bytes = IMAGE, content_type: str = "image/png"
) -> httpx.Response:
    return server.client.post(
        f"/segment{query}", content=body, headers={"Content-Type": content_type}
    )


# What a client does to be refused with each problem, and a word of the sentence that tells it what
# to do.
REFUSALS: dict[str, tuple[Callable[[ServerThread], httpx.Response], str]] = {
    "malformed-request": (lambda s: post(s, "?alpha=0.5"), "it belongs to overlay"),
    "invalid-option": (lambda s: post(s, "?classes=zebra"), "red, green, blue"),
    "unknown-model": (lambda s: post(s, "?model=strete"), "gray/1"),
    "not-acceptable": (lambda s: post(s, "?format=tiff"), "rle (application/json)"),
    "body-too-large": (lambda s: post(s, body=bytes(300_001)), "300000 bytes"),
    "image-too-large": (
        lambda s: post(s, body=png_bytes(picture(1001, 100)[..., :1] * 0)),
        "the limit is",
    ),
    "answer-too-large": (
        lambda s: post(s, "?format=npz&probabilities=true", png_bytes(picture(40, 40))),
        "confidence",
    ),
    "unsupported-body": (lambda s: post(s, content_type="text/plain"), "multipart/form-data"),
    "unsupported-image-type": (lambda s: post(s, body=b"%PDF-1.7 but no picture"), "JPEG, PNG"),
    "unreadable-image": (lambda s: post(s, body=png_bytes(picture(50, 50))[:2000]), ""),
    "inference-failed": (lambda s: post(s, "?model=flaky", png_bytes(mood(FAIL))), "log"),
    "route-not-found": (lambda s: s.client.get("/segmnet"), "/docs"),
    "method-not-allowed": (lambda s: s.client.get("/segment"), "takes POST"),
}


@pytest.mark.parametrize("slug", REFUSALS)
def test_a_refusal_is_a_problem_that_says_what_to_do(server: ServerThread, slug: str) -> None:
    provoke, words = REFUSALS[slug]
    assert words in assert_problem(provoke(server), slug)


def test_every_row_of_the_table_is_provoked_in_this_file() -> None:
    elsewhere = {
        "image-not-fetched",  # labelstudio/test_routes.py
        "not-supported",
        "unknown-job",
        "job-not-done",
        "upload-conflict",
        "upload-version",
        "job-too-large",
        "range-not-satisfiable",
        "jobs-full",
        "job-folder-full",
        "job-failed",  # jobs/test_jobs.py
        "job-folder-unusable",
        "unknown-capture",
        "feedback-refused",  # native/test_feedback.py
        "unauthorized",
        "upload-timeout",
        "queue-full",
        "uploads-full",
        "answers-full",  # test_limits.py
        "malformed-http",
        "headers-timeout",  # test_limits.py
        "headers-too-large",  # test_limits.py
        "host-not-allowed",  # test_hosts.py
        "client-left",
        "invalid-tensor",  # of the seam, for protocols that send arrays
        "model-unavailable",
        "deadline-exceeded",
    }
    provoked = set(REFUSALS) | elsewhere
    assert provoked == {row.slug for row in ROWS.values()}


def test_every_error_that_a_caller_may_read_has_a_row() -> None:
    errors = [*leaves(ServiceError), *leaves(RequestError)]
    assert MalformedRequestError in errors
    assert [error for error in errors if not set(error.__mro__) & set(ROWS)] == []


def leaves(error: type[Exception]) -> list[type[Exception]]:
    """The classes below `error` that none is below."""
    below = error.__subclasses__()
    return [leaf for cls in below for leaf in leaves(cls)] if below else [error]


def test_every_row_has_a_code_of_grpc_and_only_what_passes_asks_to_be_tried_again() -> None:
    for row in (*ROWS.values(), INTERNAL):
        assert row.grpc in grpc.StatusCode.__members__, row
        asks_again = row.grpc in ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
        assert asks_again == (row.status in (429, 503)), row
        assert (row.grpc == "INTERNAL") == (row.status == 500), row


def test_a_protocol_whose_clients_read_the_member_error_gets_it() -> None:
    response = as_error_json(problem_of(MalformedRequestError("Parameter id is missing.")))
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/json"
    assert orjson.loads(response.body) == {"error": "Parameter id is missing."}


def test_no_key_and_a_wrong_key_are_told_how_to_send_one(store: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# nobody yet\n")
    with serving(store, wait=False, api_keys_file=keys, lazy_loading=True) as server:
        missing = post(server)
        assert "Authorization: Bearer" in assert_problem(missing, "unauthorized")
        assert missing.headers["WWW-Authenticate"] == 'Bearer realm="segserve"'
        assert_problem(server.client.get("/models", headers={"X-API-Key": "guess"}), "unauthorized")


def test_an_upload_that_stalls_is_cut_off(narrow: ServerThread) -> None:
    with socket.create_connection(("127.0.0.1", narrow.port)) as connection:
        connection.sendall(
            b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
            b"Content-Length: 900\r\n\r\n"
        )
        connection.sendall(IMAGE[:10])
        answer = read_answer(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"10 bytes had arrived" in answer
    assert b"connection: close" in answer.lower()


def test_a_full_queue_is_told_when_to_come_back(narrow: ServerThread) -> None:
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(narrow.segment, mood(SLOW))
        wait_until(lambda: waiting_images(narrow) == 1, "the slow image at work")
        refused = post(narrow)
        assert_problem(refused, "queue-full")
        assert int(refused.headers["Retry-After"]) >= 1
        assert slow.result().status_code == 200


def test_uploads_that_would_fill_the_memory_are_refused(store: Path) -> None:
    limits: dict[str, Any] = {
        "max_upload_bytes": 100_000,
        "max_batch_upload_bytes": 100_000,
        "max_held_upload_bytes": 100_000,
    }
    with serving(store, models=("solvable",), **limits) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as other:
            other.sendall(
                b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                b"Content-Length: 70000\r\n\r\n"
            )
            other.sendall(bytes(60_000))
            wait_until(
                lambda: server.metric("segserve_held_upload_bytes") == 60_000, "the other upload"
            )
            assert post(server, body=IMAGE).status_code == 200
            refused = post(server, body=bytes(40_001))
            assert_problem(refused, "uploads-full")
            assert refused.headers["Retry-After"] == "1"
        wait_until(
            lambda: server.metric("segserve_held_upload_bytes") == 0, "the other upload's end"
        )
        assert post(server, body=bytes(40_001)).status_code == 415


def test_a_client_that_leaves_frees_its_place(narrow: ServerThread) -> None:
    body = png_bytes(mood(SLOW))
    head = (
        "POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    before = narrow.metric("segserve_requests_total", {"code": "499"})
    connection = socket.create_connection(("127.0.0.1", narrow.port))
    connection.sendall(head.encode() + body)
    wait_until(lambda: waiting_images(narrow) == 1, "the slow image at work")
    connection.close()
    wait_until(lambda: waiting_images(narrow) == 0, "the place that is freed")
    wait_until(
        lambda: narrow.metric("segserve_requests_total", {"code": "499"}) == before + 1, "the count"
    )
    assert post(narrow).status_code == 200


def test_a_client_that_leaves_in_the_middle_of_its_upload_is_forgotten(
    narrow: ServerThread,
) -> None:
    before = narrow.metric("segserve_rejections_total", {"reason": "client-left"})
    connection = socket.create_connection(("127.0.0.1", narrow.port))
    connection.sendall(
        b"POST /segment HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        b"Content-Length: 9\r\n\r\nabc"
    )
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    wait_until(
        lambda: narrow.metric("segserve_rejections_total", {"reason": "client-left"}) == before + 1,
        "the count",
    )
    assert narrow.metric("segserve_held_upload_bytes") == 0


def test_a_model_that_is_being_loaded_is_told_of(store: Path) -> None:
    with serving(store, wait=False, default_model="solvable") as server:
        early = post(server)
        if early.status_code != 200:  # it may be loaded by now on a fast machine
            assert_problem(early, "model-unavailable")
            assert int(early.headers["Retry-After"]) >= 1


def test_a_model_that_does_not_load_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "broken" / "1").mkdir(parents=True)
    with serving(tmp_path) as server:
        refused = post(server)
        assert "GET /models" in assert_problem(refused, "model-unavailable")
        assert int(refused.headers["Retry-After"]) >= 1


def test_a_request_that_is_not_done_in_time_is_given_up(store: Path) -> None:
    with serving(store, models=("flaky",), request_timeout_seconds=0.1) as server:
        assert_problem(server.segment(mood(SLOW)), "deadline-exceeded")
        wait_until(lambda: waiting_images(server) == 0, "the place that is freed")


def test_an_unexpected_fault_is_logged_under_its_id_and_not_shown(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(store, lazy_loading=True) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(server.parts.registry, "states", None)  # a fault of ours, whatever it may be
        response = server.client.get("/models", headers={"X-Request-ID": "look-for-me"})
        assert "'NoneType'" not in assert_problem(response, "internal-error")
        assert response.headers["X-Request-ID"] == "look-for-me"
    assert "TypeError" in caplog.text


def test_what_is_no_http_gets_a_problem_too(server: ServerThread) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"EHLO there\r\n\r\n")
        answer = read_answer(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_a_batch_of_refusals_at_once_hurts_nobody(server: ServerThread) -> None:
    provocations = [provoke for provoke, _ in REFUSALS.values()] * 2
    with ThreadPoolExecutor(8) as pool:
        refused = [pool.submit(provoke, server) for provoke in provocations]
        answered = [pool.submit(post, server) for _ in range(8)]
        assert all(400 <= future.result().status_code <= 500 for future in refused)
        assert [future.result().status_code for future in answered] == [200] * 8


def waiting_images(server: ServerThread) -> int:
    return sum(state.waiting_images for state in server.parts.registry.states())


def read_answer(connection: socket.socket) -> bytes:
    connection.settimeout(TIMEOUT_SECONDS)
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer
