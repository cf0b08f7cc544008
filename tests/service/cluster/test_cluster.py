"""The service and the bulk run on a real Ray cluster of several nodes on this machine.

One cluster, one service on it, started and ended by the command line as anybody would.
"""

import csv
import io
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from service.outputs import OUTPUTS
from tests.service.cluster.nodes import (
    ADDRESS,
    BULK_CPUS,
    LONG_SECONDS,
    README,
    SCALE,
    SERVICE_CPUS,
    Load,
    RayCluster,
    check,
    files_of,
    said,
    segserve,
    statistics_of,
    wait_long,
    write_pictures,
)
from tests.service.flaky import SLOW, save_flaky_model
from tests.service.serving import (
    ServerProcess,
    ServerThread,
    class_map_of,
    picture,
    png_bytes,
    serving,
)
from tests.solvable import save_solvable_model, solve

pq = pytest.importorskip("pyarrow.parquet", reason="it comes with Ray; requirements/dev.txt has it")

pytestmark = pytest.mark.cluster

QUEUE_IMAGES = 4
BATCH = 2
HTTP_REPLICAS = 2
SETTINGS: dict[str, Any] = {
    "default_model": "solvable",
    "max_queue_images": QUEUE_IMAGES,
    "tile_side_pixels": 64,
    "max_image_pixels": 100_000,
    "max_upload_bytes": 300_000,
}


@pytest.fixture(scope="module")
def nodes(ray_cluster: RayCluster) -> list[Any]:
    return [ray_cluster.add(SERVICE_CPUS) for _ in range(2)]


@pytest.fixture(scope="module")
def cluster_store(tmp_path_factory: pytest.TempPathFactory, solvable_store: Path) -> Path:
    store = tmp_path_factory.mktemp("ray") / "store"
    shutil.copytree(solvable_store, store)
    save_flaky_model(store)
    return store


@pytest.fixture(scope="module")
def service(
    ray_cluster: RayCluster,
    nodes: list[Any],  # noqa: ARG001
    cluster_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[httpx.Client]:
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in SETTINGS.items()]
    # the README's line, with replicas from the start, of a size that fits
    layout = [
        f"--ray-min-http-replicas={HTTP_REPLICAS}",
        "--ray-http-cpus=0.5",
        "--ray-min-engine-replicas=2",
        f"--ray-max-http-replicas={HTTP_REPLICAS}",
        "--ray-max-engine-replicas=2",
        "--ray-http-on-every-node=false",
    ]
    (line,) = re.findall(r"^segserve serve --ray .*$", README, re.MULTILINE)
    assert line in SCALE
    process = ServerProcess(
        [
            *line.replace(ADDRESS, ray_cluster.address).split()[2:],
            "--model-store",
            str(cluster_store),
            "--shutdown-delay-seconds=0",
            *flags,
            *layout,
        ],
        tmp_path_factory.mktemp("log") / "log",
    )
    url = process.wait_until_ready()
    with httpx.Client(base_url=url, timeout=LONG_SECONDS) as client:
        yield client
    process.terminate()
    assert process.wait(LONG_SECONDS) == 0, process.log.read_text()
    process.close()


@pytest.fixture(scope="module")
def alone(cluster_store: Path) -> Iterator[ServerThread]:
    """The same service in one process."""
    with serving(cluster_store, watch_models=False, **SETTINGS) as server:
        yield server


def comparable(answer: httpx.Response) -> Any:
    """What two servers must say alike: not ids and times."""
    if answer.headers["content-type"] == "application/problem+json":
        return answer.status_code, {k: v for k, v in answer.json().items() if k != "request_id"}
    if answer.headers["content-type"] == "application/x-npz":
        return {name: array.tolist() for name, array in np.load(io.BytesIO(answer.content)).items()}
    if answer.headers["content-type"] == "application/zip":
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return {name: archive.read(name) for name in sorted(archive.namelist())}
    return answer.status_code, answer.content


def asked(client: httpx.Client) -> dict[str, httpx.Response]:
    """Every format, at sizes that are run whole and in tiles; both models; each kind of refusal;
    the other routes.
    """
    small, large = png_bytes(picture(30, 41)), png_bytes(picture(150, 170, seed=1))
    gray = png_bytes(picture(20, 30, channels=1))

    def segment(query: str, body: bytes) -> httpx.Response:
        return client.post(f"/segment?{query}", files={"image": body})

    answers = {name: segment(f"format={name}", small) for name in OUTPUTS}
    answers |= {f"{name} in tiles": segment(f"format={name}", large) for name in OUTPUTS}
    several = [("image", ("a.png", small)), ("image", ("b.png", large))]
    return answers | {
        "probabilities": segment("format=npz&probabilities=true", small),
        "gray": segment("model=gray", gray),
        "batch": client.post("/segment/batch", files=several),
        "unknown model": segment("model=strete", small),
        "unknown format": segment("format=tiff", small),
        "stray option": segment("alpha=0.3", small),
        "no class": segment("classes=cat", small),
        "no image": segment("", b"no image"),
        "cut short": segment("", small[:200]),
        "too large": segment("", png_bytes(np.zeros((400, 400, 3), np.uint8))),
        "too many bytes": client.post("/segment", content=b"\0" * 400_000),
        "chunks without end": client.post("/segment", content=iter([b"\0" * 50_000] * 8)),
        "no route": client.get("/segmnet"),
        "no such method": client.get("/segment"),
        "docs": client.get("/openapi.json"),
        "live": client.get("/health/live"),
        "ready": client.get("/health/ready"),
    }


def test_the_cluster_answers_as_one_process_does(
    service: httpx.Client, alone: ServerThread
) -> None:
    ours, theirs = asked(service), asked(alone.client)
    for name, answer in ours.items():
        assert comparable(answer) == comparable(theirs[name]), name
    np.testing.assert_array_equal(class_map_of(ours["png in tiles"]), solve(picture(150, 170, 1)))


def test_headers_are_those_of_one_process(service: httpx.Client) -> None:
    answer = service.post(
        "/segment", files={"image": png_bytes(picture(9, 9))}, headers={"X-Request-ID": "mine-1"}
    )
    assert answer.headers.get_list("x-request-id") == ["mine-1"]
    assert answer.headers["x-model"] == "solvable/1"
    stages = [stage.split(";")[0].strip() for stage in answer.headers["server-timing"].split(",")]
    assert stages == ["decode", "queue", "infer", "encode", "total"]


def test_metrics_have_the_names_of_one_process_and_tell_of_every_replica(
    service: httpx.Client, alone: ServerThread
) -> None:
    for _ in range(8):
        service.post("/segment", files={"image": png_bytes(picture(9, 9))})
        alone.segment(picture(9, 9))

    def names(text: str) -> set[str]:
        return {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}

    text = service.get("/metrics").text
    assert names(text) == names(alone.client.get("/metrics").text)
    replicas = {
        line.split('replica="')[1].split('"')[0]
        for line in text.splitlines()
        if line.startswith("process_cpu_seconds_total")
    }
    assert len(replicas) == HTTP_REPLICAS + 2
    batches = [
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith('segserve_batch_size_images_sum{model="solvable/1"')
    ]
    assert sum(batches) >= 8


def test_what_is_accepted_is_bounded_over_the_cluster(service: httpx.Client) -> None:
    slow = picture(16, 16)
    slow[0, 0] = SLOW, 0, 0
    body = png_bytes(slow)

    def ask(_: int) -> httpx.Response:
        return service.post("/segment?model=flaky", files={"image": body})

    with ThreadPoolExecutor(40) as crowd:
        answers = list(crowd.map(ask, range(40)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused, "40 requests at once were all accepted"
    # each replica may accept as many as one machine, again as soon as one of them is done
    for answer in refused:
        assert answer.status_code == 429
        assert answer.json()["type"] == "urn:segserve:problem:queue-full"
        assert int(answer.headers["retry-after"]) >= 1
    good = [answer for answer in answers if answer.status_code == 200]
    assert len(good) >= QUEUE_IMAGES
    for answer in good:
        np.testing.assert_array_equal(class_map_of(answer), solve(slow))
    assert ask(0).status_code == 200


def test_a_new_version_takes_over_without_a_failed_request(
    service: httpx.Client, cluster_store: Path
) -> None:
    def newest() -> str:
        return str(load.answers[-1][1].headers.get("x-model")) if load.answers else ""

    with Load(service, threads=2) as load:
        wait_long(lambda: newest() == "solvable/1", "the old version")
        save_solvable_model(cluster_store.parent / "new", version=2)
        shutil.move(cluster_store.parent / "new/solvable/2", cluster_store / "solvable/2")
        wait_long(lambda: newest() == "solvable/2", "the new version")
    for seed, answer in load.answers:
        check(seed, answer)


def test_more_models_than_a_replica_has_room_for_are_all_served(
    service: httpx.Client, cluster_store: Path
) -> None:
    """The fifth version leaves no room for all, so that replicas load and unload by what they are
    asked for.
    """
    save_solvable_model(cluster_store.parent / "new", "late")
    shutil.move(cluster_store.parent / "new/late", cluster_store / "late")
    image = png_bytes(picture(20, 30))

    def answer(model: str) -> httpx.Response:
        return service.post(f"/segment?model={model}", files={"image": image})

    wait_long(lambda: answer("late").status_code == 200, "the late model on one HTTP replica")
    wait_long(lambda: {answer("late").status_code for _ in range(8)} == {200}, "on all of them")
    for model in 2 * ["late", "solvable", "flaky", "gray"]:
        found = answer(model)
        assert found.status_code == 200, found.text
        if model != "gray":
            np.testing.assert_array_equal(class_map_of(found), solve(picture(20, 30)))


def test_a_node_killed_under_load_costs_no_request(
    service: httpx.Client, ray_cluster: RayCluster, nodes: list[Any]
) -> None:
    """Each is answered rightly, or with a 503 that says when to come back, and then answered
    rightly.
    """
    ray_cluster.add(SERVICE_CPUS)
    with Load(service, threads=3) as load:
        wait_long(lambda: len(load.answers) > 20, "load")
        ray_cluster.kill(nodes[0])
        killed_at = len(load.answers)
        wait_long(
            lambda: sum(a.status_code == 200 for _, a in load.answers[killed_at:]) > 60,
            "answers after the loss",
        )
    for seed, answer in load.answers:
        if answer.status_code == 200:
            check(seed, answer)
            continue
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"] == "urn:segserve:problem:model-unavailable"
        time.sleep(int(answer.headers["retry-after"]))
        check(
            seed, service.post("/segment", files={"image": png_bytes(picture(24, 24 + seed, seed))})
        )


# ---- bulk


def test_a_bulk_run_does_what_predict_does_and_goes_on_where_it_was(
    ray_cluster: RayCluster, nodes: list[Any], solvable_store: Path, tmp_path: Path
) -> None:
    assert nodes
    photos, target = tmp_path / "photos", tmp_path / "masks"
    pixels = write_pictures(photos, 10)
    (photos / "day0" / "broken.jpg").write_bytes(b"\xff\xd8 not much of a photograph")
    (photos / "notes.txt").write_text("no image")
    common = ["predict", photos, "--model-store", solvable_store, "-m", "solvable"]
    alone = tmp_path / "alone"
    plain = segserve(*common, "-o", alone)
    bulk = [*common, "--ray", ray_cluster.address, "--ray-images-per-task", 3, "--ray-actors", 1]
    code, shown, log = said(segserve(*bulk, "-o", f"local://{target}"))
    assert (code, shown.split(":")[0]) == (
        1,
        "10 written, 0 skipped because they were there, 1 failed",
    ), log
    assert "11/11" in log
    said(plain)
    assert files_of(target) == files_of(alone)
    with (target / "_report/failures.csv").open() as file:
        (failure,) = csv.DictReader(file)
    assert failure["source"] == "day0/broken.jpg"
    assert "not an image" in failure["error"]
    assert statistics_of(target) == pixels.tolist()

    # stopped after an answer and before its note, and before an answer
    times = {path: path.stat().st_mtime_ns for path in target.rglob("*.png")}
    (target / "day1/001.png").unlink()
    (target / "day2/002.png").unlink()
    (photos / "day0" / "broken.jpg").unlink()
    code, shown, log = said(segserve(*bulk, "-o", target))
    assert (code, shown) == (0, "2 written, 8 skipped because they were there, 0 failed"), log
    assert files_of(target) == files_of(alone)
    assert statistics_of(target) == pixels.tolist()
    kept = [path for path in times if path.name not in ("001.png", "002.png")]
    assert {path: path.stat().st_mtime_ns for path in kept} == {path: times[path] for path in kept}


def bulk_line(ray_cluster: RayCluster, photos: Path, target: Path, store: Path) -> Iterator[object]:
    """What the docs say, in small batches that a node of BULK_CPUS has room for once."""
    (line,) = re.findall(r"^segserve predict .*$", SCALE, re.MULTILINE)
    for shown_there, here in (
        ("s3://photos", photos),
        ("s3://masks", target),
        (ADDRESS, ray_cluster.address),
    ):
        line = line.replace(shown_there, str(here))
    yield from line.split()[1:]
    yield from ("--model-store", store, "-m", "solvable")
    yield from ("--ray-images-per-task", BATCH, "--ray-cpus", BULK_CPUS - 2)


def test_a_bulk_run_that_loses_its_node_is_complete_and_did_nothing_twice(
    ray_cluster: RayCluster, nodes: list[Any], solvable_store: Path, tmp_path: Path
) -> None:
    assert nodes
    photos, target = tmp_path / "photos", tmp_path / "masks"
    pixels = write_pictures(photos, 160)
    doomed = ray_cluster.add(BULK_CPUS)
    run = segserve(*bulk_line(ray_cluster, photos, target, solvable_store))
    wait_long(lambda: len(list(target.rglob("*.png"))) > 10, "the first answers")
    ray_cluster.kill(doomed)
    ray_cluster.add(BULK_CPUS)
    at_the_loss = len(list(target.rglob("*.png")))
    code, shown, log = said(run)
    assert at_the_loss < 160, "the run was done before its node was killed"
    assert (code, shown) == (
        0,
        "160 written, 0 skipped because they were there, 0 failed",
    ), log
    assert len(files_of(target)) == 160
    assert statistics_of(target) == pixels.tolist()
    rows = rows_of(target)
    assert len(rows) == len(set(rows)) == 160


def test_a_bulk_run_that_was_killed_leaves_nothing_at_work_and_is_ended_by_the_same_command(
    ray_cluster: RayCluster, nodes: list[Any], solvable_store: Path, tmp_path: Path
) -> None:
    assert nodes
    photos, target = tmp_path / "photos", tmp_path / "masks"
    pixels = write_pictures(photos, 160)
    ray_cluster.add(BULK_CPUS)
    line = list(bulk_line(ray_cluster, photos, target, solvable_store))
    killed = segserve(*line)
    wait_long(lambda: len(files_of(target)) > 10, "the first answers")
    assert actors_at_work()
    killed.kill()
    killed.communicate()
    wait_long(lambda: not actors_at_work(), "the end of what the run had begun")
    times = {path: path.stat().st_mtime_ns for path in target.rglob("*.png")}
    assert 10 < len(times) < 160, "the run was done before it was killed"
    noted = rows_of(target)
    assert 0 <= len(times) - len(noted) <= BATCH

    code, shown, log = said(segserve(*line))
    left = 160 - len(noted)
    words = f"{left} written, {len(noted)} skipped because they were there, 0 failed"
    assert (code, shown) == (0, words), log
    assert len(files_of(target)) == 160
    kept = [target / path for path in noted]
    assert {path: path.stat().st_mtime_ns for path in kept} == {path: times[path] for path in kept}
    assert sorted(rows_of(target)) == sorted(files_of(target))
    assert statistics_of(target) == pixels.tolist()
    assert not list(target.glob("day*/.*"))


def actors_at_work() -> list[int]:
    """Processes of a bulk run's actors, by what Ray calls them."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if "Segmenting" in " ".join(process.info["cmdline"] or [])
    ]


def rows_of(target: Path) -> list[str]:
    """The target of each row that a run has written."""
    parts = (target / "_report" / "images").rglob("[!.]*.parquet")
    return [path for part in parts for path in pq.read_table(part)["target"].to_pylist()]
