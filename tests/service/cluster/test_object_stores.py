"""The bulk run between prefixes of an object store: S3 and GCS, by servers on this machine that
speak as they do.
"""

import csv
import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.cluster.files import Folder
from tests.service.cluster.nodes import BULK_CPUS, RayCluster, said, segserve
from tests.service.serving import picture, png_bytes
from tests.solvable import solve

pq = pytest.importorskip("pyarrow.parquet", reason="it comes with Ray; requirements/dev.txt has it")

pytestmark = pytest.mark.cluster

BUCKET = "photographs"
IMAGES = 7


@pytest.fixture(scope="module")
def stores() -> Iterator[dict[str, str]]:
    """What a store's URI may have as its query. Each process finds the servers and its keys in its
    environment.
    """
    from gcp_storage_emulator.server import create_server
    from moto.server import ThreadedMotoServer

    before = dict(os.environ)
    s3 = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    s3.start()
    s3_address = "{}:{}".format(*s3.get_host_and_port())
    httpx.put(f"http://{s3_address}/{BUCKET}").raise_for_status()
    with socket.create_server(("127.0.0.1", 0)) as free:
        gcs_port = free.getsockname()[1]
    gcs = create_server("127.0.0.1", gcs_port, in_memory=True, default_bucket=BUCKET)
    gcs.start()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{s3_address}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{gcs_port}",
        "FSSPEC_GCS_TOKEN": "anon",
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",  # the server knows no gRPC
    }
    yield {"s3": f"?endpoint_override={s3_address}&scheme=http&region=us-east-1", "gs": ""}
    s3.stop()
    gcs.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def address(stores: dict[str, str], ray_cluster: RayCluster) -> str:
    """Of a cluster whose nodes were started with that environment."""
    assert stores
    ray_cluster.add(BULK_CPUS)
    return ray_cluster.address


def everything_in(folder: Folder) -> set[str]:
    return {f"{path}/{name}".lstrip("/") for path, names in names_in(folder) for name in names}


def names_in(folder: Folder) -> list[tuple[str, list[str]]]:
    return [(listing.path, listing.names) for listing in folder.walk()]


def statistics_of(target: Folder) -> list[int]:
    body = target.read("_report/statistics.parquet")
    pixels: list[int] = pq.read_table(io.BytesIO(body))["pixels"].to_pylist()
    return pixels


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_folder_in_a_store_is_one_like_on_a_disk(stores: dict[str, str], scheme: str) -> None:
    assert scheme in stores
    folder = Folder.at(f"{scheme}://{BUCKET}/folder")
    assert not folder.exists()
    assert names_in(folder) == [("", [])]
    folder.write("a/1.txt", b"one")
    folder.write("a/b/2.txt", b"two")
    folder.write("3.txt", b"three")
    folder.write("3.txt", b"three again")
    assert folder.exists()
    assert names_in(folder) == [("", ["3.txt"]), ("a", ["1.txt"]), ("a/b", ["2.txt"])]
    assert folder.read("3.txt") == b"three again"
    (before,) = folder.list().files
    assert before == folder.list().files[0]
    folder.write("3.txt", b"three", b" changed")
    assert folder.list().files[0].stamp != before.stamp
    assert folder.read("3.txt") == b"three changed"
    with pytest.raises(FileNotFoundError):
        folder.read("4.txt")
    assert Folder.at(f"{scheme}://{BUCKET}").contains(folder, "a")
    assert not folder.contains(Folder.at(f"{scheme}://{BUCKET}"), "fold")
    folder.remove("none")
    folder.remove("a")
    assert names_in(folder) == [("", ["3.txt"])]


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_a_bulk_run_between_prefixes_is_complete_and_goes_on_where_it_was(
    stores: dict[str, str], address: str, solvable_store: Path, scheme: str
) -> None:
    photos = Folder.at(f"{scheme}://{BUCKET}/photos")
    masks = Folder.at(f"{scheme}://{BUCKET}/photos/masks")  # below its source, as in a folder
    solved: dict[str, Any] = {}
    for seed in range(IMAGES):
        image = picture(20, 21 + seed, seed)
        photos.write(f"day{seed % 3}/{seed}.png", png_bytes(image))
        solved[f"day{seed % 3}/{seed}.png"] = solve(image)
    photos.write("day0/broken.jpg", b"\xff\xd8 not much of a photograph")
    photos.write("notes.txt", b"no image")
    every = np.concatenate([found.reshape(-1) for found in solved.values()])
    pixels = np.bincount(every, minlength=3).tolist()

    def run(query: str) -> tuple[int, str, str]:
        return said(
            segserve(
                *("predict", f"{scheme}://{BUCKET}/photos{query}"),
                *("-o", f"{scheme}://{BUCKET}/photos/masks{query}"),
                *("--model-store", solvable_store, "-m", "solvable"),
                *("--ray", address, "--ray-images-per-task", 3, "--ray-actors", 1),
            )
        )

    report = f"see {scheme}://{BUCKET}/photos/masks/_report/failures.csv"
    code, shown, log = run("")
    assert (code, shown) == (
        1,
        f"{IMAGES} written, 0 skipped because they were there, 1 failed: {report}",
    ), log
    for path, expected in solved.items():
        found = np.array(Image.open(io.BytesIO(masks.read(path))))
        np.testing.assert_array_equal(found, expected)
    there = everything_in(masks)
    assert {path for path in there if not path.startswith("_report/")} == set(solved)
    rows = {path for path in there if path.startswith("_report/images/0001/")}
    kept = {"_report/failures.csv", "_report/job.json", "_report/statistics.parquet"}
    assert there - set(solved) - rows == kept
    (failure,) = csv.DictReader(io.StringIO(masks.read("_report/failures.csv").decode()))
    assert failure["source"] == "day0/broken.jpg"
    assert statistics_of(masks) == pixels

    # as if stopped after a row and before its answer, and the server named in the URI
    masks.filesystem.delete_file(f"{masks.path}/day1/1.png")
    code, shown, log = run(stores[scheme])
    assert (code, shown) == (
        1,
        f"1 written, {IMAGES - 1} skipped because they were there, 1 failed: {report}",
    ), log
    assert set(solved) <= everything_in(masks)
    assert statistics_of(masks) == pixels

    # a photograph that changed is segmented again, and what is no answer of ours stays
    image = picture(20, 21, 99)
    photos.write("day0/0.png", png_bytes(image))
    code, shown, log = run("")
    assert (code, shown.split(" skipped")[0]) == (1, f"1 written, {IMAGES - 1}"), log
    found = np.array(Image.open(io.BytesIO(masks.read("day0/0.png"))))
    np.testing.assert_array_equal(found, solve(image))
    photos.write("day0/new.png", png_bytes(image))
    masks.write("day0/new.png", b"somebody's")
    code, _, log = run("")
    assert code == 2
    assert "day0/new.png is there, was not written by" in log
    assert masks.read("day0/new.png") == b"somebody's"
