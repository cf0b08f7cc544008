"""Jobs over real HTTP: sent, asked after, fetched, removed, and gone on with after a restart."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from service.app import create_app
from service.protocols.keys import format_line
from service.settings import SettingError, Settings
from tests.service.protocols.test_problems import assert_problem
from tests.service.serving import (
    TIMEOUT_SECONDS,
    ServerProcess,
    ServerThread,
    class_map_of,
    picture,
    png_bytes,
    wait_until,
)
from tests.service.serving import serving as _serving
from tests.solvable import solve

IMAGE = picture(40, 60)
BODY = png_bytes(IMAGE)
PNG = {"Content-Type": "image/png"}
TUS = {"Tus-Resumable": "1.0.0"}


def serving(store: Path, **settings: Any) -> AbstractContextManager[ServerThread]:
    """As any, with jobs that are done on a busy machine too."""
    return _serving(store, job_priority="normal", **settings)


@pytest.fixture(scope="module")
def server(
    openvino_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerThread]:
    folder = tmp_path_factory.mktemp("jobs")
    with serving(openvino_store, job_folder=folder, max_job_bytes=10**6) as running:
        yield running


def settled(client: httpx.Client, url: str) -> dict[str, Any]:
    """The job once it is done or has failed."""
    job: dict[str, Any] = {}

    def is_settled() -> bool:
        job.update(client.get(url).json())
        return job["state"] in ("done", "failed")

    wait_until(is_settled, f"the job {url}")
    return job


def result_of(client: httpx.Client, url: str) -> httpx.Response:
    job = settled(client, url)
    assert job["state"] == "done", job
    return client.get(job["result"]["url"])


def test_a_job_gives_what_a_request_does(server: ServerThread) -> None:
    response = server.client.post("/jobs?classes=red", files={"image": ("a b.png", BODY)})
    assert response.status_code == 202
    url = response.headers["Location"]
    assert response.json()["url"] == url
    job = settled(server.client, url)
    assert job["state"] == "done", job
    assert job["model"] == "solvable/1"
    assert job["progress"] == 1.0
    assert job["file_name"] == "a b.png"
    assert job["bytes"] == len(BODY)
    answer = server.client.get(job["result"]["url"])
    assert answer.content == server.segment(IMAGE, classes="red").content
    assert answer.headers["Content-Disposition"] == "attachment; filename*=utf-8''a%20b.png"
    assert job["result"]["facts"]["width"] == 60
    assert url in {one["url"] for one in server.client.get("/jobs").json()["jobs"]}


def test_a_segment_request_that_would_rather_not_wait_becomes_a_job(server: ServerThread) -> None:
    wish = {**PNG, "Prefer": "wait=5, Respond-Async", "Accept": "application/json"}
    response = server.client.post("/segment?format=rle", content=BODY, headers=wish)
    assert response.status_code == 202
    assert response.headers["Preference-Applied"] == "respond-async"
    answer = result_of(server.client, response.headers["Location"])
    assert answer.content == server.segment(IMAGE, format="rle").content


def test_a_result_comes_in_parts(server: ServerThread) -> None:
    made = server.client.post("/jobs", content=BODY, headers=PNG)
    whole = result_of(server.client, made.headers["Location"])
    url, size, tag = str(whole.url), len(whole.content), whole.headers["ETag"]
    get = server.client.get
    part = get(url, headers={"Range": "bytes=10-19", "If-Range": tag})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{size}"
    assert get(url, headers={"Range": "bytes=-5"}).content == whole.content[-5:]
    changed = get(url, headers={"Range": "bytes=10-19", "If-Range": '"another"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
    assert get(url, headers={"Range": "lines=1-2"}).content == whole.content
    beyond = get(url, headers={"Range": f"bytes={size}-"})
    assert str(size) in assert_problem(beyond, "range-not-satisfiable")
    assert beyond.headers["Content-Range"] == f"bytes */{size}"


def test_what_is_no_picture_fails_with_the_problem_that_a_request_gets(
    server: ServerThread,
) -> None:
    made = server.client.post("/jobs", content=b"%PDF-1.7 no picture", headers=PNG)
    url = made.headers["Location"]
    job = settled(server.client, url)
    assert job["state"] == "failed"
    assert job["problem"]["type"] == "urn:segserve:problem:unsupported-image-type"
    assert job["problem"]["status"] == 415
    assert job["problem"]["request_id"] == made.headers["X-Request-ID"]
    assert "failed" in assert_problem(server.client.get(f"{url}/result"), "job-not-done")


def test_a_file_in_parts_goes_on_where_it_stopped(server: ServerThread) -> None:
    client = server.client
    announced = {**TUS, "Upload-Length": str(len(BODY)), "Upload-Metadata": "filename cGEucGc="}
    made = client.post("/jobs", headers=announced)
    assert made.status_code == 201
    url = made.headers["Location"]

    def send(offset: int, body: bytes) -> httpx.Response:
        headers = {
            **TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
        }
        return client.patch(url, content=body, headers=headers)

    first = send(0, BODY[:1000])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "1000")
    assert "1000 bytes" in assert_problem(send(500, BODY[500:]), "upload-conflict")
    assert "more came" in assert_problem(send(1000, BODY), "upload-conflict")
    there = client.head(url)
    assert there.headers["Upload-Length"] == str(len(BODY))
    assert there.headers["Cache-Control"] == "no-store"
    assert there.headers["Upload-Offset"] == "1000"
    assert client.get(url).json()["state"] == "uploading"
    assert send(1000, BODY[1000:]).headers["Upload-Offset"] == str(len(BODY))
    np.testing.assert_array_equal(class_map_of(result_of(client, url)), solve(IMAGE))
    assert client.get(url).json()["file_name"] == "pa.pg"
    assert "whole file" in assert_problem(send(len(BODY), b"x"), "upload-conflict")


def test_tus_of_another_version_and_what_is_no_part_are_refused(server: ServerThread) -> None:
    client = server.client
    old = client.post("/jobs", headers={"Tus-Resumable": "0.2.2", "Upload-Length": "5"})
    assert "1.0.0" in assert_problem(old, "upload-version")
    assert old.headers["Tus-Version"] == "1.0.0"
    large = client.post("/jobs", headers={**TUS, "Upload-Length": str(10**6 + 1)})
    assert "1000000" in assert_problem(large, "job-too-large")
    made = client.post("/jobs", headers={**TUS, "Upload-Length": "5"})
    url = made.headers["Location"]
    raw = client.patch(url, content=b"12345", headers={**TUS, "Upload-Offset": "0", **PNG})
    assert "offset+octet-stream" in assert_problem(raw, "unsupported-body")
    assert client.options("/jobs").headers["Tus-Extension"] == "creation,expiration,termination"
    assert client.delete(url, headers=TUS).status_code == 204
    assert_problem(client.get(url), "unknown-job")


def test_a_file_that_is_too_large_leaves_nothing(server: ServerThread) -> None:
    before = server.metric("segserve_job_folder_bytes")

    def parts() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(100_000)

    assert_problem(server.client.post("/jobs", content=parts(), headers=PNG), "body-too-large")
    assert server.metric("segserve_job_folder_bytes") == before
    empty = server.client.post("/jobs", content=b"", headers=PNG)
    assert "empty" in assert_problem(empty, "malformed-request")


def test_without_a_folder_there_are_no_jobs_and_the_wish_is_passed_over(
    openvino_store: Path,
) -> None:
    with serving(openvino_store) as server:
        answer = server.client.post("/jobs", content=BODY, headers=PNG)
        assert "SEGSERVE_JOB_FOLDER" in assert_problem(answer, "not-supported")
        wish = {**PNG, "Prefer": "respond-async"}
        direct = server.client.post("/segment", content=BODY, headers=wish)
        np.testing.assert_array_equal(class_map_of(direct), solve(IMAGE))


def test_a_folder_is_of_one_server(openvino_store: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"model_store": openvino_store, "job_folder": tmp_path / "jobs"}
    (tmp_path / "jobs").mkdir(mode=0o755)  # such as a volume
    with (
        serving(openvino_store, job_folder=tmp_path / "jobs"),
        pytest.raises(SettingError, match="another server does its jobs in it"),
    ):
        create_app(Settings(**settings))
    assert all(file.stat().st_mode & 0o77 == 0 for file in (tmp_path / "jobs").iterdir())
    with pytest.raises(SettingError, match="would never fit"):
        create_app(Settings(**settings, max_job_folder_bytes=5))


def test_a_key_sees_its_own_jobs_and_may_have_so_many(openvino_store: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{format_line('ada', 'a' * 40)}\n{format_line('bob', 'b' * 40)}\n")
    ada, bob = ({"X-API-Key": name * 40} for name in "ab")
    announced = {**TUS, "Upload-Length": "100"}
    with serving(
        openvino_store,
        job_folder=tmp_path / "jobs",
        api_keys_file=keys,
        max_key_jobs=2,
        max_jobs=3,
        max_job_bytes=1000,
        max_job_folder_bytes=1150,
    ) as server:
        client = server.client
        urls = [client.post("/jobs", headers={**announced, **ada}).headers["Location"]] * 2
        urls[1] = client.post("/jobs", headers={**announced, **ada}).headers["Location"]
        third = client.post("/jobs", headers={**announced, **ada})
        assert "DELETE one of them" in assert_problem(third, "jobs-full")
        assert int(third.headers["Retry-After"]) > 0
        assert_problem(client.get(urls[0]), "unauthorized")
        for method, url in (("GET", urls[0]), ("DELETE", urls[0]), ("GET", f"{urls[0]}/result")):
            assert_problem(client.request(method, url, headers=bob), "unknown-job")
        large = client.post("/jobs", headers={**TUS, "Upload-Length": "1000", **bob})
        assert "1150" in assert_problem(large, "job-folder-full")
        assert client.post("/jobs", headers={**announced, **bob}).status_code == 201
        assert_problem(client.post("/jobs", headers={**announced, **bob}), "jobs-full")
        first = client.get("/jobs?limit=1", headers=ada).json()
        assert [job["url"] for job in first["jobs"]] == urls[1:]
        rest = client.get(f"/jobs?before={first['next']}", headers=ada).json()
        assert [job["url"] for job in rest["jobs"]] == urls[:1]
        assert rest["next"] is None


def test_what_is_old_is_removed(openvino_store: Path, tmp_path: Path) -> None:
    with serving(
        openvino_store,
        job_folder=tmp_path / "jobs",
        job_result_age_seconds=1.0,
        job_upload_age_seconds=1.0,
    ) as server:
        made = server.client.post("/jobs", content=BODY, headers=PNG)
        server.client.post("/jobs", headers={**TUS, "Upload-Length": "100"})
        assert made.status_code == 202

        def is_empty() -> bool:
            return not server.client.get("/jobs").json()["jobs"]

        wait_until(is_empty, "the jobs' end")
        # the list forgets a job before its files are gone
        wait_until(lambda: not list((tmp_path / "jobs" / "jobs").iterdir()), "the files' end")
        assert server.metric("segserve_job_folder_bytes") == 0


def killed_in_the_middle(store: Path, folder: Path, log: Path) -> tuple[str, str]:
    """The addresses of two jobs of a server that is gone: of one half the file came, of one all."""
    process = ServerProcess(["--model-store", str(store), "--job-folder", str(folder)], log)
    client = httpx.Client(base_url=process.wait_until_ready(), timeout=TIMEOUT_SECONDS)
    part = client.post("/jobs", headers={**TUS, "Upload-Length": str(len(BODY))})
    url = part.headers["Location"]
    headers = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    assert client.patch(url, content=BODY[:900], headers=headers).status_code == 204
    whole = client.post("/jobs", content=BODY, headers=PNG)
    assert whole.status_code == 202
    process.process.send_signal(signal.SIGKILL)
    process.wait()
    process.close()
    client.close()
    return url, whole.headers["Location"]


def test_what_was_accepted_goes_on_after_a_server_was_killed(
    openvino_store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "jobs"
    part, whole = killed_in_the_middle(openvino_store, folder, tmp_path / "log")
    stray = folder / "jobs" / "stray"
    stray.mkdir()
    with serving(openvino_store, job_folder=folder) as server:
        np.testing.assert_array_equal(class_map_of(result_of(server.client, whole)), solve(IMAGE))
        offset = int(server.client.head(part).headers["Upload-Offset"])
        assert offset == 900
        headers = {
            **TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
        }
        assert server.client.patch(part, content=BODY[offset:], headers=headers).status_code == 204
        np.testing.assert_array_equal(class_map_of(result_of(server.client, part)), solve(IMAGE))
    assert not stray.exists()


def worker_of(folder: Path) -> int | None:
    """The process that does the jobs of `folder`, by what it has open."""
    lock = str(folder / "lock")
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            if lock in {str(link.readlink()) for link in (process / "fd").iterdir()}:
                return int(process.name)
        except OSError:
            continue
    return None


def test_a_job_whose_process_is_lost_again_and_again_fails(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.job_parts.WORKER", "tests.service.jobs.lost_worker")
    with serving(store, models=("solvable",), job_folder=tmp_path / "jobs") as server:
        job = settled(server.client, server.client.post("/jobs", content=BODY).headers["Location"])
        assert job["problem"]["type"] == "urn:segserve:problem:job-failed"
        assert "lost 3 times" in job["problem"]["detail"]


def test_a_process_that_stands_still_is_ended_and_its_job_fails(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.job_parts.WORKER", "tests.service.jobs.silent_worker")
    monkeypatch.setattr("service.job_parts.SILENCE_SECONDS", 0.2)
    folder = tmp_path / "jobs"
    with serving(store, models=("solvable",), job_folder=folder) as server:
        job = settled(server.client, server.client.post("/jobs", content=BODY).headers["Location"])
        assert "told nothing for 0.2 s" in job["problem"]["detail"]
        assert worker_of(folder) is None


def test_a_job_at_work_is_ended_by_delete_and_its_process_with_it(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.job_parts.WORKER", "tests.service.jobs.endless_worker")
    folder = tmp_path / "jobs"
    with serving(store, models=("solvable",), job_folder=folder) as server:
        url = server.client.post("/jobs", content=BODY).headers["Location"]

        def is_half_done() -> bool:
            job = server.client.get(url).json()
            return job["progress"] == 0.5 and job["seconds_left"] is not None

        wait_until(is_half_done, "half of the job")
        assert server.metric("segserve_jobs", {"state": "running"}) == 1
        assert "running" in assert_problem(server.client.get(f"{url}/result"), "job-not-done")
        assert worker_of(folder) is not None
        assert server.client.delete(url).status_code == 204
        assert worker_of(folder) is None
        assert not list((folder / "jobs").iterdir())
        assert server.client.get("/health/live").status_code == 200


def test_a_table_of_another_release_is_refused(openvino_store: Path, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "jobs.sqlite") as table:
        table.execute("PRAGMA user_version = 99")
    table.close()
    with pytest.raises(SettingError, match="form 99"):
        create_app(Settings(model_store=openvino_store, job_folder=tmp_path))


def test_a_folder_that_is_lost_is_said_to_be(openvino_store: Path, tmp_path: Path) -> None:
    with serving(openvino_store, job_folder=tmp_path / "jobs") as server:
        (tmp_path / "jobs" / "jobs").rmdir()
        answer = server.client.post("/jobs", content=BODY, headers=PNG)
        assert "log" in assert_problem(answer, "job-folder-unusable")
        assert answer.headers["Retry-After"] == "60"
        assert server.client.get("/jobs").json()["jobs"] == []


def test_a_server_that_is_told_to_end_leaves_its_job_to_the_next(
    openvino_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "jobs"
    with monkeypatch.context() as patch:
        patch.setattr("service.job_parts.WORKER", "tests.service.jobs.endless_worker")
        with serving(openvino_store, job_folder=folder) as server:
            url = server.client.post("/jobs", content=BODY).headers["Location"]

            def is_at_work() -> bool:
                return bool(server.client.get(url).json()["progress"] > 0)

            wait_until(is_at_work, "the job at work")
    assert worker_of(folder) is None
    with serving(openvino_store, job_folder=folder) as server:
        np.testing.assert_array_equal(class_map_of(result_of(server.client, url)), solve(IMAGE))
