"""What operators and orchestrators read: health, metrics, models."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.service.flaky import SLOW, mood
from tests.service.serving import TIMEOUT_SECONDS, ServerThread, picture, serving, wait_until


def test_models_tell_what_they_can_tell_apart(server: ServerThread) -> None:
    document = server.client.get("/models").json()
    assert document["default_model"] == "solvable"
    by_name = {model["name"]: model for model in document["models"]}
    assert set(by_name) == {"solvable", "gray", "flaky"}
    solvable = by_name["solvable"]
    assert solvable["state"] == "ready"
    assert solvable["error"] is None
    assert solvable["engine"]["name"] == "tensorflow"
    assert "no OpenVINO files" in solvable["engine"]["reason"]
    assert [c["name"] for c in solvable["contract"]["classes"]] == ["red", "green", "blue"]
    assert by_name["gray"]["contract"]["channels"] == 1


def test_one_model_comes_with_its_card(server: ServerThread) -> None:
    document = server.client.get("/models/solvable").json()
    assert document["serving_version"] == 1
    assert document["card"].startswith("# solvable")
    assert [version["version"] for version in document["versions"]] == [1]


def test_an_unknown_model_has_no_page(server: ServerThread) -> None:
    response = server.client.get("/models/strete")
    assert response.status_code == 404
    assert "solvable" in response.json()["detail"]


def test_a_server_is_alive_while_it_is_not_ready(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert server.client.get("/health/live").json() == {"status": "live"}
        refused = server.client.get("/health/ready")
        assert refused.status_code == 503
        assert "no model" in refused.json()["detail"]


def test_a_server_is_ready_once_its_models_are(server: ServerThread) -> None:
    assert server.client.get("/health/ready").json() == {"status": "ready"}


def test_a_model_that_was_asked_for_and_is_not_there_keeps_the_server_from_being_ready(
    store: Path,
) -> None:
    with serving(store, models=("solvable", "flaky/7"), lazy_loading=True) as server:
        refused = server.client.get("/health/ready")
        assert refused.status_code == 503
        assert "flaky/7" in refused.json()["detail"]


def test_an_engine_that_is_stuck_is_told_of(store: Path) -> None:
    with serving(store, models=("flaky",), stuck_after_seconds=0.05) as server:
        seen = threading.Event()

        def keep_it_busy() -> set[int]:
            """One after the other: a machine that is busy elsewhere may miss the first."""
            codes = set[int]()
            while not seen.is_set():
                codes.add(server.segment(mood(SLOW)).status_code)
            return codes

        with ThreadPoolExecutor() as pool:
            slow = pool.submit(keep_it_busy)
            try:
                wait_until(
                    lambda: server.client.get("/health/live").status_code == 503, "the stuck engine"
                )
            finally:
                seen.set()
            assert slow.result() == {200}
        assert server.client.get("/health/live").status_code == 200


def test_head_is_answered_without_a_body(server: ServerThread) -> None:
    response = server.client.head("/health/ready")
    assert (response.status_code, response.content) == (200, b"")


def test_requests_and_stages_are_counted(server: ServerThread) -> None:
    answered = {"route": "/segment", "code": "200"}
    decoded = {"model": "solvable/1", "stage": "decode"}
    before = [
        server.metric("segserve_requests_total", answered),
        server.metric("segserve_stage_duration_seconds_count", decoded),
        server.metric("segserve_batch_size_images_count", {"model": "solvable/1"}),
        server.metric("segserve_rejections_total", {"reason": "unreadable-image"}),
    ]
    server.segment(picture(8, 8), model="solvable")
    server.client.post("/segment", content=b"", headers={"Content-Type": "image/png"})
    after = [
        server.metric("segserve_requests_total", answered),
        server.metric("segserve_stage_duration_seconds_count", decoded),
        server.metric("segserve_batch_size_images_count", {"model": "solvable/1"}),
        server.metric("segserve_rejections_total", {"reason": "unreadable-image"}),
    ]
    assert after == [count + 1 for count in before]


def test_queue_models_and_process_can_be_watched(server: ServerThread) -> None:
    assert server.metric("segserve_queue_depth_images", {"model": "solvable/1"}) == 0
    assert server.metric("segserve_model_state", {"model": "solvable/1", "state": "ready"}) == 1
    assert server.metric("segserve_model_state", {"model": "solvable/1", "state": "failed"}) == 0
    assert server.metric("process_resident_memory_bytes") > 0
    assert server.metric("segserve_requests_in_progress") == 1
    wait_until(
        lambda: server.metric("segserve_event_loop_lag_seconds_count") > 0, "a measure of the lag"
    )
    assert "segserve_model_info{" in server.client.get("/metrics").text


def test_names_of_metrics_follow_the_conventions(server: ServerThread) -> None:
    names = re.findall(r"^# TYPE (\S+) (\S+)$", server.client.get("/metrics").text, re.MULTILINE)
    ours = [(name, kind) for name, kind in names if not name.startswith("process_")]
    assert all(name.startswith("segserve_") for name, _ in ours)
    assert all(name.endswith("_total") for name, kind in ours if kind == "counter")
    assert not [name for name, _ in ours if re.search("millisecond|_ms|kilobyte|megabyte", name)]


def test_no_path_of_a_stranger_becomes_a_label(server: ServerThread) -> None:
    server.client.get("/wp-admin/setup.php")
    server.client.request("BREW", "/segment")
    text = server.client.get("/metrics").text
    assert "wp-admin" not in text
    assert "BREW" not in text


def test_openmetrics_is_spoken_where_it_is_asked_for(server: ServerThread) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    response = server.client.get("/metrics", headers=accept)
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


def test_two_apps_in_one_process_share_nothing(store: Path, tmp_path: Path) -> None:
    with serving(store, models=("solvable",)) as one, serving(tmp_path) as other:
        assert one.segment(picture(8, 8)).status_code == 200
        assert other.segment(picture(8, 8)).status_code == 503
        assert one.metric("segserve_requests_total", {"route": "/segment"}) == 1
        assert one.metric("segserve_requests_total", {"code": "503"}) == 0
        assert other.metric("segserve_requests_total", {"code": "503"}) == 1
    with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
        for closed in (one, other):
            try:
                client.get(closed.url)
            except httpx.ConnectError:
                continue
            raise AssertionError(f"{closed.url} still listens")
